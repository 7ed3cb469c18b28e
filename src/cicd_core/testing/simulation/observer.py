"""Follows the log of a simulation's store, and gives each step to the checks.

The audit's rules check each event and each record, the oracle of jobs each answer, and the monitor
of queues the order of the claims. Since calls do not overlap here, the observer also knows the only
right answer to each holder.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from cicd_core.audit.counter_check import Recount
from cicd_core.audit.history_check import Trails
from cicd_core.audit.record_summary import check_job
from cicd_core.audit.report import Findings, Promise
from cicd_core.control_plane.lanes import directory_of
from cicd_core.model.instants import SECOND
from cicd_core.model.job import JobState, Verdict
from cicd_core.persistence.collections import JOBS, LANES
from cicd_core.persistence.event_bodies import decode_event
from cicd_core.persistence.grants import load_job
from cicd_core.queueing.lanes import Lane, lane_of
from cicd_core.testing.histories.queue_model import QueuedJob
from cicd_core.testing.job_oracle.oracle import JobOracle
from cicd_core.testing.simulation.queue_order import QueueOrder
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.model.claim import ClaimedJob
    from cicd_core.model.job import Job, LeaseToken
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Record
    from cicd_core.testing.histories.queue_monitor import QueueViolation
    from cicd_core.testing.simulation.plan import Machine

_HELD: Final = (JobState.CLAIMED, JobState.RUNNING)
_PAGE: Final = 500


@frozen(kw_only=True)
class JobSight:
    """A job as last observed."""

    state: JobState
    final: bool
    attempt: int
    version: int
    #: The token of its holder; None while it has no holder.
    token: LeaseToken | None
    #: Its lane, and its stay in the lane; None while it cannot be claimed.
    place: tuple[Lane, QueuedJob] | None

    @property
    def open(self) -> bool:
        """Whether its state will still change by itself."""
        return not self.final and self.state is not JobState.DEAD_LETTERED


@frozen(kw_only=True)
class Fault:
    """A broken promise."""

    invariant: str
    step: int
    text: str


class _Audited(Findings):
    """The findings of the audit's rules, each reported at once."""

    def __init__(self, observer: Observer) -> None:
        super().__init__()
        self._observer = observer

    def examine(self, name: Promise, number: int = 1) -> None:
        self._observer.checked[f"audit: {name.value}"] += number

    def fault(self, name: Promise, text: str) -> None:
        self._observer.report(f"audit: {name.value}", text)


class Observer:
    """Follows the real store, and checks each answer and each change."""

    def __init__(
        self, store: Store, moved: Callable[[JobSight | None, Job], None], step: Callable[[], int]
    ) -> None:
        """Watch a store.

        Args:
            store: the real one, without the control plane's wrapper.
            moved: called with the old and the new value of each changed job.
            step: returns the number of the current step.
        """
        self._store = store
        self._moved = moved
        self._step = step
        self._cursor: str | None = None
        self._jobs: dict[str, JobSight] = {}
        self._findings = _Audited(self)
        self._trails = Trails({}, Recount(), self._findings)
        self._order = QueueOrder(step)
        #: Takes every call of a service.
        self.oracle = JobOracle(is_sequential=True)
        #: The last sign of life of each job's holder (µs): its claim, its start, its renewals.
        self._heard: dict[str, int] = {}
        #: When the last attempt of each job was seen to start (µs of elapsed time).
        self._began: dict[str, int] = {}
        #: The pools whose lists of lanes were lost, and may be incomplete.
        self._lost: set[str] = set()
        #: The promises that were broken, in the order in which that was found.
        self.faults: list[Fault] = []
        #: How many answers and changes were checked, by invariant.
        self.checked: Counter[str] = Counter()
        #: How many jobs have not ended.
        self.open = 0

    @property
    def job_ids(self) -> list[str]:
        """Every job that was ever observed, in the order of the first observation."""
        return list(self._jobs)

    def ready(self) -> dict[Lane, int]:
        """Return how many jobs of each lane could be claimed now."""
        return {lane: number for lane, number in self._order.ready.items() if number}

    def sight(self, job_id: str) -> JobSight | None:
        """Return the job as last observed."""
        return self._jobs.get(job_id)

    def owns(self, job_id: str, token: LeaseToken) -> bool:
        """Return whether the token holds the job."""
        seen = self._jobs.get(job_id)
        return seen is not None and seen.token == token

    def require(self, invariant: str, holds: object, text: str) -> None:
        """Count a check, and keep its findings."""
        self.checked[invariant] += 1
        if not holds:
            self.report(invariant, text)

    def report(self, invariant: str, text: str, *, step: int | None = None) -> None:
        """Report a broken promise; without a step, of the current one."""
        step = self._step() if step is None else step
        self.faults.append(Fault(invariant=invariant, step=step, text=text))

    def check_answers(self) -> None:
        """Check the answers about the jobs of the calls and events since the last check."""
        changed = self.oracle.changed()
        self.checked["one owner"] += len(changed)
        self.checked["leases last as long as promised"] += len(changed)
        for text in self.oracle.double_owned(changed):
            self.report("one owner", text)
        for text in self.oracle.early(changed):
            self.report("leases last as long as promised", text)

    def check_order(self) -> None:
        """Check the order of the claims since the last check."""
        for violation in sorted(self._order.check(), key=_step_of):
            name = violation.fault.name.lower().replace("_", " ")
            self.report(f"queue: {name}", str(violation), step=_step_of(violation))

    def check_losses(self) -> None:
        """Check that the log has every acknowledged call; no job may be held."""
        for text in self.oracle.lost():
            self.report("nothing lost", text)

    async def look(self) -> list[Lane]:
        """Read the new events of the log; return the lanes that got work."""
        touched: dict[str, None] = {}
        while True:
            page = await self._store.read_log(self._cursor, _PAGE)
            self._cursor = page.cursor
            for entry in page.entries:
                event = decode_event(entry)
                self._trails.add(event, counted=False)
                if entry.collection == JOBS.name:
                    self.oracle.see(event)
                    touched[entry.key] = None
            if len(page.entries) < _PAGE:
                return await self._take_in(list(touched)) if touched else []

    async def enqueued(self, jobs: Sequence[Job]) -> list[Lane]:
        """Check that acknowledged jobs exist; return the lanes that got work."""
        lanes = await self.look()
        for job in jobs:
            self.require(
                "nothing lost",
                job.job_id in self._jobs,
                f"job {job.job_id} was acknowledged, but the log has no event of it",
            )
        return lanes

    def heard(self, job_id: str, now: int) -> None:
        """Note a sign of life of a job's holder."""
        self._heard[job_id] = now

    def began(self, job_id: str, now: int) -> None:
        """Note the start of a job, which is a sign of life."""
        self._began[job_id] = now
        self.heard(job_id, now)

    def lost_lanes(self, pool_name: str) -> None:
        """Note that the list of a pool's lanes is lost."""
        self._lost.add(pool_name)

    async def look_for_lanes(self) -> None:
        """Note the pools whose lists have all lanes with waiting jobs again."""
        records = await self._store.get(LANES.name, sorted(self._lost))
        for pool_name in sorted(self._lost):
            listed = directory_of(pool_name, records.get(pool_name)).lanes
            waiting = [lane.key for lane in self.ready() if lane.pool_name == pool_name]
            if listed and {*waiting} <= {*listed}:
                self._lost.remove(pool_name)

    async def claimed(
        self, agent_id: str, machine: Machine, limit: int, answer: Sequence[ClaimedJob], now: int
    ) -> None:
        """Check the answer of a claim; the order among all claims is checked later."""
        got = [item.job.job_id for item in answer]
        lanes = {lane for lane in self._order.ready if machine.serves(lane)}
        if machine.pool_name in self._lost:  # the jobs of unlisted lanes keep waiting
            limit, lanes = len(got), lanes & {lane_of(item.job) for item in answer}
        self.checked["queue"] += 1
        self._order.claimed(agent_id, lanes, limit, [self._stay_of(job_id) for job_id in got])
        await self._take_in(got)
        for one in answer:
            (self.began if one.job.state is JobState.RUNNING else self.heard)(one.job.job_id, now)
            self.require(
                "one owner",
                self.owns(one.job.job_id, one.token),
                f"job {one.job.job_id} was claimed, but its record has another owner",
            )

    def _stay_of(self, job_id: str) -> str:
        seen = self._jobs.get(job_id)
        return job_id if seen is None or seen.place is None else seen.place[1].name

    async def _take_in(self, job_ids: list[str]) -> list[Lane]:
        """Read the current jobs, check their changes, and remember them."""
        got_work: list[Lane] = []
        for first in range(0, len(job_ids), _PAGE):
            some = job_ids[first : first + _PAGE]
            records = await self._store.get(JOBS.name, some)
            for job_id in some:
                record = records.get(job_id)
                self.require("nothing lost", record, f"job {job_id} has no record any more")
                if record is not None:
                    got_work += self._see(record)
        return got_work

    def _see(self, record: Record) -> Iterable[Lane]:
        before = self._jobs.get(record.key)
        if before is not None and before.version == record.version:
            return ()
        loaded = load_job(record)
        check_job(record, loaded, self._findings)
        job = loaded.value
        self._check_allowance(job)
        if before is not None:
            self._check_loss(job, before)
        now = JobSight(
            state=job.state,
            final=job.is_final,
            attempt=job.attempt,
            version=record.version,
            token=job.token if job.state in _HELD else None,
            place=_place(job, record.version),
        )
        self._jobs[job.job_id] = now
        self.open += now.open - (before is not None and before.open)
        self._moved(before, job)
        return self._put(before, now)

    def _put(self, before: JobSight | None, now: JobSight) -> Iterable[Lane]:
        old = None if before is None else before.place
        if old is not None:
            self._order.leaves(old[0], old[1].name)
        if now.place is None:
            return ()
        lane, job = now.place
        self._order.enters(lane, job)
        stays = old is not None and (old[0], old[1].rank) == (lane, job.rank)
        return () if stays else (lane,)

    def _check_allowance(self, job: Job) -> None:
        self.require(
            "attempts within the allowance",
            job.attempts_used <= job.max_attempts,
            f"job {job.job_id} used {job.attempts_used} attempts of {job.max_attempts}",
        )

    def _check_loss(self, job: Job, before: JobSight) -> None:
        """Check a verdict over a lost holder: it ran too long if it was alive at its timeout."""
        if before.token is None or not job.attempts:
            return
        last = job.attempts[-1]
        if last.token != before.token or last.ended_by != "maintenance" or last.started_at is None:
            return
        ran = self._heard[job.job_id] - self._began[job.job_id]
        too_long = ran >= job.timeout_seconds * SECOND
        self.require(
            "the last sign of life decides",
            (last.verdict is Verdict.TIMEOUT) is too_long,
            f"job {job.job_id}: {last.verdict} ({last.reason}), but its holder gave a sign of life "
            f"{ran} µs after its start",
        )


def _step_of(violation: QueueViolation) -> int:
    return violation.operations[0].number


def _place(job: Job, version: int) -> tuple[Lane, QueuedJob] | None:
    """Return the lane and the stay of a ready job, whose rank is the oracle's own."""
    if job.state is not JobState.QUEUED or job.ready_at is None:
        return None
    lane, priority = lane_of(job), f"{int(job.priority)}"
    rank = f"{priority}.{job.queued_stamp or 0:020}.{job.job_id}"
    name = f"{job.job_id}@{version}"
    return lane, QueuedJob(name=name, lane=lane.key, rank=rank, priority=priority)
