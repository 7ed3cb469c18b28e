"""A model of every job, from the log and the answers, that checks each next step."""

from __future__ import annotations

from collections import Counter
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final

from sortedcontainers import SortedList

from cicd_core.control_plane.lanes import directory_of
from cicd_core.model.instants import SECOND
from cicd_core.model.job import JobState, Verdict
from cicd_core.persistence.collections import JOBS, LANES
from cicd_core.persistence.grants import load_job
from cicd_core.queueing.lanes import Lane, lane_of
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.model.claim import ClaimedJob
    from cicd_core.model.job import Job, LeaseToken
    from cicd_core.store.contract import Store
    from cicd_core.testing.simulation.plan import Machine

#: Priority, first enqueue (µs), id: the order in which ready jobs must be claimed.
Rank = tuple[int, int, str]

_HELD: Final = (JobState.CLAIMED, JobState.RUNNING)
_PAGE: Final = 500


@frozen(kw_only=True)
class JobSight:
    """A job as last observed."""

    state: JobState
    final: bool
    fence: int
    attempt: int
    version: int
    #: The token of its holder; None while it has no holder.
    token: LeaseToken | None
    #: Its lane, and its place in the lane; None while it cannot be claimed.
    place: tuple[Lane, Rank] | None

    @property
    def open(self) -> bool:
        """Whether its state will still change by itself."""
        return not self.final and self.state is not JobState.DEAD_LETTERED


class Oracle:
    """Follows the log of the real store, and compares each answer with the expected one."""

    def __init__(self, store: Store, moved: Callable[[JobSight | None, Job], None]) -> None:
        """Watch a store.

        Args:
            store: the real one, without the control plane's wrapper.
            moved: called with the old and the new value of each changed job.
        """
        self._store = store
        self._moved = moved
        self._cursor: str | None = None
        self._jobs: dict[str, JobSight] = {}
        self._ready: dict[Lane, SortedList[Rank]] = {}
        #: The last sign of life of each job's holder (µs): its claim, its start, its renewals.
        self._heard: dict[str, int] = {}
        #: When the last attempt of each job was seen to start (µs of elapsed time).
        self._began: dict[str, int] = {}
        #: The pools whose lists of lanes were lost, and may be incomplete.
        self._lost: set[str] = set()
        #: The invariants that were broken, and how.
        self.faults: list[tuple[str, str]] = []
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
        return {lane: len(ranks) for lane, ranks in self._ready.items() if ranks}

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
            self.faults.append((invariant, text))

    async def look(self) -> list[Lane]:
        """Read the new events of the log; return the lanes that got work."""
        touched: dict[str, None] = {}
        while True:
            page = await self._store.read_log(self._cursor, _PAGE)
            self._cursor = page.cursor
            touched |= {entry.key: None for entry in page.entries if entry.collection == JOBS.name}
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
        self, machine: Machine, limit: int, answer: Sequence[ClaimedJob], now: int
    ) -> None:
        """Check that a claim returns the best of all jobs that the agent may run, in order."""
        lanes = {lane for lane in self._ready if machine.serves(lane)}
        got = [item.job.job_id for item in answer]
        most = limit
        if machine.pool_name in self._lost:  # the jobs of unlisted lanes keep waiting
            most, lanes = len(got), lanes & {lane_of(item.job) for item in answer}
        best = merge(*(islice(self._ready[lane], most) for lane in lanes))
        expected = [job_id for _, _, job_id in islice(best, most)]
        for one in answer:
            self.require(
                "no claim out of lane",
                machine.serves(lane_of(one.job)),
                f"job {one.job.job_id} of {lane_of(one.job).key} went to {machine}",
            )
        self.require(
            "strict priority, first in first out",
            got == expected,
            f"a claim of up to {limit} by {machine} returned {got}; expected were {expected}",
        )
        await self._take_in(got)
        for one in answer:
            (self.began if one.job.state is JobState.RUNNING else self.heard)(one.job.job_id, now)
            self.require(
                "one owner",
                self.owns(one.job.job_id, one.token),
                f"job {one.job.job_id} was claimed, but its record has another owner",
            )

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
                    got_work += self._see(load_job(record).value, record.version)
        return got_work

    def _see(self, job: Job, version: int) -> Iterable[Lane]:
        before = self._jobs.get(job.job_id)
        now = JobSight(
            state=job.state,
            final=job.is_final,
            fence=job.fence,
            attempt=job.attempt,
            version=version,
            token=job.token if job.state in _HELD else None,
            place=_place(job),
        )
        if before is not None and before.version == version:
            return ()
        self._compare(job, before, now)
        self._jobs[job.job_id] = now
        self.open += now.open - (before is not None and before.open)
        self._moved(before, job)
        return self._put(before, now)

    def _put(self, before: JobSight | None, now: JobSight) -> Iterable[Lane]:
        old = None if before is None else before.place
        if old == now.place:
            return ()
        if old is not None:
            self._ready[old[0]].remove(old[1])
        if now.place is None:
            return ()
        lane, rank = now.place
        self._ready.setdefault(lane, SortedList()).add(rank)
        return (lane,)

    def _compare(self, job: Job, before: JobSight | None, now: JobSight) -> None:
        name = f"job {job.job_id}"
        self.require(
            "attempts within the allowance",
            job.attempts_used <= job.max_attempts,
            f"{name} used {job.attempts_used} attempts of {job.max_attempts}",
        )
        if before is None:
            return
        claims = now.attempt - before.attempt
        self.require(
            "fences grow",
            now.fence > before.fence if claims > 0 else (now.fence, claims) == (before.fence, 0),
            f"{name}: fence {before.fence} of attempt {before.attempt} became {now.fence} of "
            f"attempt {now.attempt}",
        )
        self.require(
            "one final verdict",
            not before.final or now.state is before.state,
            f"{name} was {before.state}, and became {now.state}",
        )
        self._check_loss(job, before)
        self.require(
            "versions grow",
            now.version > before.version,
            f"{name}: version {before.version} became {now.version}",
        )
        self.require(
            "one owner",
            None in {before.token, now.token} or before.token == now.token,
            f"{name} went from one owner to another without a return to the queue",
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


def _place(job: Job) -> tuple[Lane, Rank] | None:
    if job.state is not JobState.QUEUED or job.ready_at is None:
        return None
    return lane_of(job), (int(job.priority), job.queued_stamp or 0, job.job_id)
