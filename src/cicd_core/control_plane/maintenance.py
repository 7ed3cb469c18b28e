"""The reaper and the timers: what is due is decided and committed. Any number may run at once.

Of those that run in the background one sweeps, see :mod:`cicd_core.control_plane.leadership`.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import anyio
from attrs import frozen

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

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.agent import Agent
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Commit, Conflict, Record, StoreTime

Entity = TypeVar("Entity")

_log = logging.getLogger("cicd_core.maintenance")

#: How many due records are looked at in one call to the store.
_BATCH = 200
#: How long maintenance rests after an error, in seconds, at least.
_AFTER_ERROR: Final = 1.0
#: The record that says who sweeps.
_DUTY: Final = "sweeper"


@frozen(kw_only=True)
class SweepReport:
    """What one sweep did, counted by the state that each entity came to."""

    #: Delayed jobs that can be claimed now.
    promoted: int = 0
    #: Jobs taken from holders that were gone, and queued again.
    requeued: int = 0
    dead_lettered: int = 0
    #: Jobs that ended otherwise: timeout, error or cancelled.
    ended: int = 0
    #: Agents that are offline, or gone, from now on.
    silenced: int = 0
    #: The collections and keys of records that are due and do not decode: they are left alone, and
    #: read again once a minute.
    unreadable: tuple[tuple[str, str], ...] = ()

    @property
    def total(self) -> int:
        """How many entities were changed."""
        return self.promoted + self.requeued + self.dead_lettered + self.ended + self.silenced

    def __add__(self, other: SweepReport) -> SweepReport:
        """Return what two sweeps did together; a record that neither could read counts once."""
        return SweepReport(
            promoted=self.promoted + other.promoted,
            requeued=self.requeued + other.requeued,
            dead_lettered=self.dead_lettered + other.dead_lettered,
            ended=self.ended + other.ended,
            silenced=self.silenced + other.silenced,
            unreadable=tuple(sorted({*self.unreadable, *other.unreadable})),
        )


class MaintenanceService:
    """Looks for what is due. Every control plane stands for it, unless it is opened without."""

    def __init__(
        self,
        context: Context,
        jobs: Repository[Job],
        agents: Repository[Agent],
        lanes: LaneBook,
    ) -> None:
        """Take the way to the store, the records of jobs and agents, and the lanes."""
        self._context = context
        self._leased = self._timer_of_jobs(jobs, LEASED)
        others = [self._timer_of_jobs(jobs, timer) for timer in (DELAYED, PAUSED, WAITING)]
        self._timers: tuple[Timer[Any], ...] = (self._leased, self._heartbeats(agents), *others)
        self._tender = LaneTender(context, lanes)
        self._leadership = Leadership(context, _DUTY)
        #: When the next sweep of the background is, in seconds of the event loop's clock.
        self._next = 0.0

    async def run(self) -> NoReturn:
        """Sweep for ever, every ``sweep_seconds``, while this control plane leads.

        Of all that run on the same data one leads. Where it dies, another one takes its place once
        its lease has run out: that lasts for 15 seconds, or for half of the shorter one of
        ``lease_seconds`` and ``heartbeat_seconds`` if that is less, and the others look up to as
        long after that. One that ends by itself leaves the place free for a program that starts.
        An error is logged and does not end it.
        """
        try:
            while True:
                pause = await self._turn()
                await anyio.sleep(pause)
        finally:
            await self._leadership.resign()

    async def _turn(self) -> float:
        """Sweep, if it is this one's turn, and return for how many seconds nothing is to do."""
        # Many processes that started together should not look together.
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
        except Exception:  # noqa: BLE001 - the one loop that must outlive its own defects
            _log.exception("a sweep failed on a defect of ours and will be repeated")
        return max(pause, _AFTER_ERROR)

    async def sweep(self) -> SweepReport:
        """Do all that is due now, whoever leads, and return what that was.

        Lost leases come first, and one batch of each timer in turn: however much is due of one
        kind, a holder that is lost meanwhile is noticed a batch later.

        Cost: a page a timer where nothing is due, whatever the store holds. A record whose lease
            was renewed is read once in the time that its lease has left, and once a minute in a
            page: what this one has learned it remembers for its next sweep.
        """
        report = await self._in_turn(*self._timers)
        await self._tender.tend()
        return report

    async def requeue_expired(self) -> SweepReport:
        """Take jobs from holders whose leases have run out, and leave the other timers alone."""
        return await self._in_turn(self._leased)

    async def _in_turn(self, *timers: Timer[Any]) -> SweepReport:
        done: Counter[str] = Counter()
        rounds: dict[Timer[Any], Round[Any]] = {}
        more = True
        while more:
            more = False
            for timer in timers:  # one that had no more may have some by now
                now = await self._context.store.now()
                begun = rounds.pop(timer, None) or timer.begin(now)
                await self._go_on(begun, now, done)
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
        policy = HealthPolicy(heartbeat_ttl=self._context.settings.heartbeat_seconds)

        def decide(loaded: Loaded[Agent], now: StoreTime) -> Decision[Agent]:
            return agent_lifecycle.mark_offline(
                loaded.value, now=from_micros(now.calendar), by="maintenance", policy=policy
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

    async def _go_on(self, begun: Round[Entity], now: StoreTime, done: Counter[str]) -> None:
        """Do one batch of a round.

        It pages what may be due, reads it anew, decides, commits: pages may lag, decisions not.
        """
        query = begun.query(_BATCH)
        page = None
        if query is not None:
            asked = query
            page = await self._context.store.page(asked)
        keys = begun.take(page, now, _BATCH)
        timer = begun.timer
        changes = [each async for each in self._changes(timer, keys, now)]
        answers = await self._committed([commit for _, _, commit in changes])
        for (before, after, commit), answer in zip(changes, answers, strict=True):
            (write,) = commit.writes
            if isinstance(answer, Committed):
                timer.forget([write.key])
                done[timer.result(after)] += 1
                timer.log(before, after)
            elif answer is None:
                timer.rest(write.key, write.expected, until=now.micros + LONG_REST)
            else:  # somebody else's move: the next sweep sees what is left to do
                timer.rest(write.key, write.expected, until=now.micros)

    async def _changes(
        self, timer: Timer[Entity], keys: Sequence[str], now: StoreTime
    ) -> AsyncGenerator[tuple[Entity, Entity, Commit], None]:
        """Decide on records, and return what each was and is to be, with its commit."""
        for key, record in (await self._read(timer, keys, now)).items():
            if not timer.is_due(record, now):
                continue
            try:
                loaded = timer.repository.load(record)
            except UNREADABLE as broken:
                _log.error("left alone: %s", broken)
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
        """Return the records that still are in the timer's partition, by key."""
        wanted = list(keys)
        found: Mapping[str, Record] = {}
        while wanted:
            try:
                found = await timer.repository.records(wanted)
                break
            except CorruptRecord as broken:  # not even the store can read it
                if broken.key not in wanted:
                    raise
                _log.error("left alone: %s", broken)
                timer.rest_unread(broken.key, 0, now)
                wanted.remove(broken.key)
        timer.forget(key for key in wanted if not timer.holds(found.get(key)))
        return {key: record for key, record in found.items() if timer.holds(record)}

    async def _committed(self, commits: list[Commit]) -> list[Committed | Conflict | None]:
        """Commit; what the store refuses (None) must not hold up the others."""
        if not commits:
            return []
        try:
            return [*await self._context.store.commit(commits)]
        except InvalidInput as refused:
            if len(commits) == 1:
                (write,) = commits[0].writes
                _log.error("%s %s left alone: %s", write.collection, write.key, refused)
                return [None]
            return [answer for each in commits for answer in await self._committed([each])]

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
    """Leave what is ordinary to the store's own log."""


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
