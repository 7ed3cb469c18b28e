"""The reaper and the timers: decide on due records and commit. Any number may run at once.

One of all background loops sweeps, see :mod:`cicd_core.control_plane.leadership`.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import anyio

from cicd_core.background import together
from cicd_core.control_plane.lane_tending import LaneTender
from cicd_core.control_plane.leadership import Leadership
from cicd_core.control_plane.lease_terms import outlived_timeout
from cicd_core.control_plane.timers import LONG_REST, SHORT_REST, Round, Timer
from cicd_core.errors import CicdError, CorruptRecord, InvalidInput
from cicd_core.lifecycle import agents as agent_lifecycle
from cicd_core.lifecycle import jobs as job_lifecycle
from cicd_core.lifecycle import leases
from cicd_core.model.agent import HealthPolicy
from cicd_core.model.instants import from_micros
from cicd_core.model.job import Job, JobState
from cicd_core.persistence.collections import (
    AGENTS,
    DELAYED,
    HEARTBEAT,
    JOBS,
    LEASED,
    PAUSED,
    STEADY_TIMERS,
    TIMERS,
    WAITING,
)
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.store.records import Committed, Guard, Partition
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.agent import Agent
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Commit, Conflict, Record, RecordPage, StoreTime

Entity = TypeVar("Entity")

_log = logging.getLogger("cicd_core.maintenance")

#: Number of due records read in one call to the store.
_BATCH = 200
#: Minimum pause after an error, in seconds.
_AFTER_ERROR: Final = 1.0
#: The record of the sweeping leader.
_DUTY: Final = "sweeper"


@frozen(kw_only=True)
class SweepReport:
    """The result of a sweep, counted by the new state of each entity."""

    #: Delayed jobs that became ready.
    promoted: int = 0
    #: Jobs with expired leases that were queued again.
    requeued: int = 0
    dead_lettered: int = 0
    #: Jobs that ended with timeout, error or cancelled.
    ended: int = 0
    #: Agents that became offline or gone.
    silenced: int = 0
    #: The collections and keys of due records that do not decode: they are skipped, and read again
    #: once a minute.
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def total(self) -> int:
        """Number of changed entities."""
        return self.promoted + self.requeued + self.dead_lettered + self.ended + self.silenced

    def __add__(self, other: SweepReport) -> SweepReport:
        """Return the sum of two sweeps; a record that neither could read counts once."""
        return SweepReport(
            promoted=self.promoted + other.promoted,
            requeued=self.requeued + other.requeued,
            dead_lettered=self.dead_lettered + other.dead_lettered,
            ended=self.ended + other.ended,
            silenced=self.silenced + other.silenced,
            unreadable=tuple(sorted({*self.unreadable, *other.unreadable})),
        )


class MaintenanceService:
    """Processes due records. Every control plane runs it, unless opened without."""

    def __init__(
        self,
        context: Context,
        jobs: Repository[Job],
        agents: Repository[Agent],
        lanes: LaneBook,
    ) -> None:
        self._context = context
        self._leased = self._timer_of_jobs(jobs, LEASED)
        others = [self._timer_of_jobs(jobs, timer) for timer in (DELAYED, PAUSED, WAITING)]
        self._timers: tuple[Timer[Any], ...] = (self._leased, self._heartbeats(agents), *others)
        self._tender = LaneTender(context, lanes)
        self._leadership = Leadership(context, _DUTY)
        #: Time of the next background sweep, in seconds of the event loop's clock.
        self._next = 0.0

    async def run(self) -> NoReturn:
        """Sweep forever, every ``sweep_seconds``, while this control plane leads.

        One of all processes on the same data leads. If it crashes, another one takes over once its
        lease has expired: the lease is 15 seconds, or half of the shorter one of ``lease_seconds``
        and ``heartbeat_timeout_seconds`` if that is less; the others look up to the same time
        later. A process that exits normally releases its lease, so that the next one can
        start at once.
        An error is logged and does not end the loop.
        """
        try:
            while True:
                pause = await self._turn()
                await anyio.sleep(pause)
        finally:
            await self._leadership.resign()

    async def _turn(self) -> float:
        """Sweep, if this one leads, and return the seconds until the next check."""
        # Processes that start together must not check at the same time.
        pause = self._context.settings.sweep_seconds * (0.75 + self._context.ids.jitter() / 2)
        try:
            if not await self._leadership.is_mine():
                return max(pause, await self._leadership.rest_seconds())
            if anyio.current_time() >= self._next:
                await self.sweep()
                self._next = anyio.current_time() + pause
            rest = await self._leadership.rest_seconds()
            return max(0.0, min(self._next - anyio.current_time(), rest))
        except CicdError as failed:
            _log.warning("a sweep failed and will be repeated: %s", failed)
        except Exception:  # noqa: BLE001 - the one loop that must survive its own bugs
            _log.exception("a sweep failed because of a bug in cicd_core and will be repeated")
        return max(pause, _AFTER_ERROR)

    async def sweep(self) -> SweepReport:
        """Process all due records, leader or not, and return the result.

        Expired leases come first, and one batch of each timer in turn: a large backlog of one kind
        delays the detection of lost holders by at most a batch.

        Cost: a page per timer if nothing is due, whatever the size of the store. A record with a
            renewed lease is read once per remaining lease time, and once a minute in a page: this
            process remembers it between sweeps.
        """
        report = await self._in_turn(*self._timers)
        await self._tender.tend()
        return report

    async def requeue_expired(self) -> SweepReport:
        """Requeue jobs with expired leases; do not run the other timers."""
        return await self._in_turn(self._leased)

    async def _in_turn(self, *timers: Timer[Any]) -> SweepReport:
        done: Counter[str] = Counter()
        rounds: dict[Timer[Any], Round[Any]] = {}
        more = True
        while more:
            more = False
            now = await self._context.store.now()
            for timer in timers:  # a timer without records may have some by now
                if timer not in rounds:
                    rounds[timer] = timer.begin(now)
            pages = await together([partial(self._page, rounds[timer]) for timer in timers])
            for timer, page in zip(timers, pages, strict=True):
                if isinstance(page, CicdError):
                    raise page  # in its turn: expired leases don't wait for another timer's page
                begun, now = rounds.pop(timer), await self._context.store.now()
                await self._go_on(begun, page, now, done)
                if begun.is_over:
                    timer.end(begun, now)
                else:
                    rounds[timer] = begun
                    more = True
        unreadable = {(timer.partition.collection, key) for timer in timers for key in timer.named}
        return SweepReport(**done, unreadable=tuple(sorted(unreadable)))

    def _timer_of_jobs(self, jobs: Repository[Job], timer: str) -> Timer[Job]:
        return Timer(
            partition=Partition(JOBS.name, TIMERS, timer),
            repository=jobs,
            decide=self._decide_lease if timer == LEASED else self._decide_timer,
            guard=Guard.LEASE_EXPIRED if timer == LEASED else Guard.NONE,
            result=_job_result,
            log=_log_lost_job if timer == LEASED else _log_nothing,
            steady=timer in STEADY_TIMERS,
            due_at=lambda job: job.paused_until,
        )

    def _heartbeats(self, agents: Repository[Agent]) -> Timer[Agent]:
        policy = HealthPolicy(heartbeat_ttl=self._context.settings.heartbeat_timeout_seconds)

        def decide(loaded: Loaded[Agent], now: StoreTime) -> Decision[Agent]:
            return agent_lifecycle.mark_offline(
                loaded.value, now=from_micros(now.calendar), actor="maintenance", policy=policy
            )

        return Timer(
            partition=Partition(AGENTS.name, TIMERS, HEARTBEAT),
            repository=agents,
            decide=decide,
            guard=Guard.LEASE_EXPIRED,
            result=lambda _: "silenced",
            log=_log_nothing,
            due_at=lambda _: None,
        )

    async def _page(self, begun: Round[Any]) -> RecordPage | CicdError | None:
        """Return the next page of a round, or its error; None: there is none."""
        query = begun.query(_BATCH)
        try:
            return None if query is None else await self._context.store.page(query)
        except CicdError as failed:
            return failed

    async def _go_on(
        self, begun: Round[Entity], page: RecordPage | None, now: StoreTime, done: Counter[str]
    ) -> None:
        """Process one batch of a round.

        It selects the records of a page that may be due, reads them again, decides and commits. A
        page may be out of date, but a decision is not.
        """
        keys = begun.take(page, now, _BATCH)
        timer = begun.timer
        changes = [change async for change in self._changes(timer, keys, now)]
        answers = await self._committed([commit for _, _, commit in changes])
        for (before, after, commit), answer in zip(changes, answers, strict=True):
            (write,) = commit.writes
            if isinstance(answer, Committed):
                timer.forget([write.key])
                done[timer.result(after)] += 1
                timer.log(before, after)
            elif answer is None:
                timer.rest(write.key, write.expected, until=now.micros + LONG_REST)
            else:  # another process was first: the next sweep sees the rest
                timer.rest(write.key, write.expected, until=now.micros)

    async def _changes(
        self, timer: Timer[Entity], keys: Sequence[str], now: StoreTime
    ) -> AsyncGenerator[tuple[Entity, Entity, Commit], None]:
        """Decide on records, and return each one's old and new value, with its commit."""
        for key, record in (await self._read(timer, keys, now)).items():
            if not timer.is_due(record, now):
                continue
            try:
                loaded = timer.repository.load(record)
            except UNREADABLE as broken:
                _log.error("skipped: %s", broken)
                timer.rest_unread(key, record.version, now)
                continue
            timer.unreadable.discard(key)
            try:
                decision = timer.decide(loaded, now)
            except CicdError as refused:
                _log.debug("nothing to do: %s", refused)
                timer.rest(key, record.version, until=now.micros + SHORT_REST)
                continue
            if not decision.changed:
                due = timer.due_at(loaded.value)
                timer.rest(key, record.version, until=due or now.micros + SHORT_REST)
                continue
            await timer.repository.prepare(decision.value)
            commit = timer.repository.commit_of(loaded, decision, time=now, guard=timer.guard)
            yield loaded.value, decision.value, commit

    async def _read(
        self, timer: Timer[Entity], keys: Sequence[str], now: StoreTime
    ) -> dict[str, Record]:
        """Return the records that are still in the timer's partition, by key."""
        wanted = list(keys)
        found: Mapping[str, Record] = {}
        while wanted:
            try:
                found = await timer.repository.records(wanted)
                break
            except CorruptRecord as broken:  # the store itself cannot read it
                if broken.key not in wanted:
                    raise
                _log.error("skipped: %s", broken)
                timer.rest_unread(broken.key, 0, now)
                wanted.remove(broken.key)
        timer.forget(key for key in wanted if not timer.holds(found.get(key)))
        return {key: record for key, record in found.items() if timer.holds(record)}

    async def _committed(self, commits: list[Commit]) -> list[Committed | Conflict | None]:
        """Commit; a refused commit (None) must not block the others."""
        if not commits:
            return []
        try:
            return [*await self._context.store.commit(commits)]
        except InvalidInput as refused:
            if len(commits) == 1:
                (write,) = commits[0].writes
                _log.error("%s %s skipped: %s", write.collection, write.key, refused)
                return [None]
            return [answer for commit in commits for answer in await self._committed([commit])]

    @staticmethod
    def _decide_timer(loaded: Loaded[Job], now: StoreTime) -> Decision[Job]:
        job, instant = loaded.value, from_micros(now.calendar)
        if job.start_deadline is not None and job.start_deadline <= instant:
            return job_lifecycle.expire_deadline(job, now=instant)
        return job_lifecycle.promote(job, now=instant, steady=now.micros)

    def _decide_lease(self, loaded: Loaded[Job], now: StoreTime) -> Decision[Job]:
        lease = loaded.lease
        return leases.expire_lease(
            loaded.value,
            now=from_micros(now.calendar),
            steady=now.micros,
            limit_reached=lease is not None and outlived_timeout(lease, self._context.settings),
        )


def _log_nothing(_before: object, _after: object) -> None:
    """Log only unusual changes; the event log has the others."""


def _log_lost_job(before: Job, after: Job) -> None:
    _log.warning(
        "job %s was lost by agent %s: %s", before.job_id, before.agent_id, after.state.value
    )


def _job_result(job: Job) -> str:
    if job.state is JobState.DEAD_LETTERED:
        return "dead_lettered"
    if job.state is not JobState.QUEUED:
        return "ended"
    return "requeued" if job.ready_at is None else "promoted"
