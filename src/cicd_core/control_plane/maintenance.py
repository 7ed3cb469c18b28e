"""The reaper and the timers: what is due is decided and committed. Any number may run at once."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import anyio
from attrs import define, field, frozen

from cicd_core.control_plane.lane_tending import LaneTender
from cicd_core.control_plane.lease_terms import outlived_timeout
from cicd_core.errors import CicdError, InvalidInput
from cicd_core.lifecycle import agents as agent_lifecycle
from cicd_core.lifecycle import jobs as job_lifecycle
from cicd_core.lifecycle import leases
from cicd_core.model.agent import HealthPolicy
from cicd_core.model.instants import from_micros
from cicd_core.model.job import Job, JobState
from cicd_core.store.collections import (
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
from cicd_core.store.records import Committed, Guard, Partition, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.control_plane.repository import Repository
    from cicd_core.control_plane.writer import Writer
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.agent import Agent
    from cicd_core.store.overlay import Loaded
    from cicd_core.store.records import Commit, Conflict, Record, StoreTime

Entity = TypeVar("Entity")

_log = logging.getLogger("cicd_core.maintenance")

#: How many due records are looked at in one call to the store.
_BATCH = 200
#: How long maintenance rests after an error, in seconds, at least.
_AFTER_ERROR = 1.0


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
    #: The collections and keys of records that were due and do not decode: they were left alone.
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


def _log_nothing(_before: object, _after: object) -> None:
    """What is ordinary is in the store's log alone."""


@define(kw_only=True, eq=False)
class _Due(Generic[Entity]):
    """What may be due of one timer: how it is decided, and how far a sweep has come."""

    partition: Partition
    repository: Repository[Entity]
    decide: Callable[[Loaded[Entity], StoreTime], Decision[Entity]]
    guard: Guard
    #: Whether the partition is in the order of the steady clock, or of the calendar.
    steady: bool = True
    #: The name, in the report, of what became of an entity.
    result: Callable[[Entity], str]
    #: Tells the program's log of what an entity was and is, once that is committed.
    log: Callable[[Entity, Entity], object] = _log_nothing
    #: The last sort value that was looked at: what falls due meanwhile sorts behind it.
    after: str | None = None
    #: The keys of records that do not decode.
    unreadable: set[str] = field(factory=set[str])


class MaintenanceService:
    """Looks for what is due. Every control plane runs it, unless it is told not to."""

    def __init__(
        self,
        writer: Writer,
        jobs: Repository[Job],
        agents: Repository[Agent],
        lanes: LaneBook,
    ) -> None:
        """Take the way to the store, the records of jobs and agents, and the lanes."""
        self._writer = writer
        self._jobs = jobs
        self._agents = agents
        self._tender = LaneTender(writer, lanes)

    async def run(self) -> NoReturn:
        """Sweep for ever, every ``sweep_seconds``; an error is logged and does not end it."""
        while True:
            pause = self._writer.settings.sweep_seconds
            try:
                await self.sweep()
            except CicdError as failed:
                _log.warning("a sweep failed and will be repeated: %s", failed)
                pause = max(pause, _AFTER_ERROR)
            except Exception:  # noqa: BLE001 - the one loop that must outlive its own defects
                _log.exception("a sweep failed on a defect of ours and will be repeated")
                pause = max(pause, _AFTER_ERROR)
            # Many processes that started together should not look together.
            await anyio.sleep(pause * (0.75 + self._writer.ids.jitter() / 2))

    async def sweep(self) -> SweepReport:
        """Do all that is due now, and return what that was.

        Lost leases come first, and one batch of each timer in turn: however much is due of one
        kind, a holder that is lost meanwhile is noticed a batch later.

        Cost: a page a timer where nothing is due, whatever the store holds.
        """
        jobs = [self._jobs_due(timer) for timer in (LEASED, DELAYED, PAUSED, WAITING)]
        report = await self._in_turn(jobs[0], self._agents_due(), *jobs[1:])
        await self._tender.tend()
        return report

    async def requeue_expired(self) -> SweepReport:
        """Take jobs from holders whose leases have run out, and leave the other timers alone."""
        return await self._in_turn(self._jobs_due(LEASED))

    async def _in_turn(self, *timers: _Due[Any]) -> SweepReport:
        done: Counter[str] = Counter()
        more = True
        while more:
            more = False
            for timer in timers:  # one that had no more may have some by now
                more = await self._sweep(timer, done) or more
        unreadable = {
            (timer.partition.collection, key) for timer in timers for key in timer.unreadable
        }
        return SweepReport(**done, unreadable=tuple(sorted(unreadable)))

    def _jobs_due(self, timer: str) -> _Due[Job]:
        return _Due(
            partition=Partition(JOBS.name, TIMERS, timer),
            repository=self._jobs,
            decide=self._decide_lease if timer == LEASED else self._decide_timer,
            guard=Guard.LEASE_EXPIRED if timer == LEASED else Guard.NONE,
            result=_job_result,
            log=_log_lost_job if timer == LEASED else _log_nothing,
            steady=timer in STEADY_TIMERS,
        )

    def _agents_due(self) -> _Due[Agent]:
        policy = HealthPolicy(heartbeat_ttl=self._writer.settings.heartbeat_seconds)

        def decide(loaded: Loaded[Agent], now: StoreTime) -> Decision[Agent]:
            return agent_lifecycle.mark_offline(
                loaded.value, now=from_micros(now.calendar), by="maintenance", policy=policy
            )

        return _Due(
            partition=Partition(AGENTS.name, TIMERS, HEARTBEAT),
            repository=self._agents,
            decide=decide,
            guard=Guard.LEASE_EXPIRED,
            result=lambda _: "silenced",
        )

    async def _sweep(self, due: _Due[Entity], done: Counter[str]) -> bool:
        """Do one batch of a timer, and return whether there may be more of it.

        It pages what may be due, reads it anew, decides, commits: pages may lag, decisions not.
        """
        now = await self._writer.store_time()
        moment = now.micros if due.steady else now.calendar
        records, more = await self._page(due.partition, moment, due.after)
        if records:
            due.after = records[-1].attributes[due.partition.index.sort]
        keys = [each.key for each in records if _may_be_due(each, due.guard, now)]
        commits: list[Commit] = []
        moves: list[tuple[Entity, Entity]] = []
        found, unreadable = await due.repository.sort_out(keys)
        due.unreadable.update(unreadable)
        for loaded in found.values():
            if due.guard is Guard.LEASE_EXPIRED and not _expired(loaded, now):
                continue
            try:
                decision = due.decide(loaded, now)
            except CicdError as refused:  # it moved on since the page was read
                _log.debug("nothing to do: %s", refused)
                continue
            if decision.changed:
                await due.repository.prepare(decision.value)
                commit = due.repository.commit_of(loaded, decision, time=now, guard=due.guard)
                commits.append(commit)
                moves.append((loaded.value, decision.value))
        pairs = zip(moves, await self._committed(commits), strict=True)
        # A conflict is somebody else's move: the next sweep sees what is left to do.
        made = [move for move, answer in pairs if isinstance(answer, Committed)]
        done.update(due.result(after) for _, after in made)
        for before, after in made:
            due.log(before, after)
        return more and bool(records)

    async def _committed(self, commits: list[Commit]) -> list[Committed | Conflict | None]:
        """Commit; what the store refuses (None) must not hold up the others."""
        if not commits:
            return []
        try:
            return [*await self._writer.commit(commits)]
        except InvalidInput as refused:
            if len(commits) == 1:
                (write,) = commits[0].writes
                _log.error("%s %s left alone: %s", write.collection, write.key, refused)
                return [None]
            return [answer for each in commits for answer in await self._committed([each])]

    async def _page(
        self, partition: Partition, moment: int, after: str | None
    ) -> tuple[Sequence[Record], bool]:
        query = Query(partition=partition, limit=_BATCH, after=after, before=f"{moment + 1:016d}")
        page = await self._writer.patiently(lambda: self._writer.store.page(query))
        return page.records, page.more

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
            limit_reached=lease is not None and outlived_timeout(lease, self._writer.settings),
        )


def _may_be_due(record: Record, guard: Guard, now: StoreTime) -> bool:
    if guard is not Guard.LEASE_EXPIRED or record.lease is None:
        return True
    return record.lease.expires + now.uncertainty < now.micros


def _expired(loaded: Loaded[Entity], now: StoreTime) -> bool:
    return loaded.lease is None or loaded.lease.expires + now.uncertainty < now.micros


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
