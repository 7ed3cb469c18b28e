"""Checks that a whole queue gave its jobs best first, each one once, and lost none: O(n log n).

It treats the queue as a black box: it needs no stamps, only calls, returns and answers. Every job
enters the queue once and leaves it once, which makes the check efficient (as Lee and Mathur, and
Abdulla and others, have shown for queues and priority queues). While the best job of a lane is in
the queue, no other job is taken from that lane. It is certainly in the queue from the return of its
enqueue to the first moment at which it can have been taken. So the check goes from the best job to
the worst. Each job must have been taken at an instant at which no better job was certainly in the
queue; the first such instant leaves the most possibilities for later jobs. For takes of one job
the check is exact: an accepted history is linearizable. A take of several jobs counts as several
takes of one (the contract promises each record by itself), whose answer must be sorted.

References: Z. H. Lee, U. Mathur, "Efficient decrease-and-conquer linearizability monitoring"
(arXiv:2410.04581); P. A. Abdulla and others (arXiv:2509.17795).
"""

from __future__ import annotations

from collections import defaultdict
from enum import Enum
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final

from attrs import define

from cicd_core.testing.histories.busy_times import BusyTimes
from cicd_core.testing.histories.queue_model import Enqueue, Take, Withdraw
from cicd_core.testing.recording.operation import FOREVER
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from cicd_core.testing.histories.queue_model import QueuedJob, QueueOperation

#: The most violations to explain, since each explanation looks at all jobs.
MOST: Final = 20


class Fault(Enum):
    """The faults of a queue."""

    DOUBLE_CLAIM = "a job was given to two claims"
    FROM_NOWHERE = "a job was claimed, or withdrawn, without an enqueue"
    OTHER_LANE = "a claim got a job of a lane that it did not name"
    TOO_MANY = "a claim got more jobs than its limit"
    NOT_SORTED = "a claim got its jobs, but not the best one first"
    TOO_EARLY = "a job was claimed, or withdrawn, before it was enqueued"
    GONE_TWICE = "a job was both claimed and withdrawn"
    STILL_THERE = "a job was claimed or withdrawn, but is still in the queue"
    LOST = "a job was enqueued, but is neither in the queue nor claimed"
    PRIORITY_INVERSION = "a job was claimed while one of better priority was in the queue"
    FIFO_INVERSION = "a job was claimed while an earlier one of its priority was in the queue"
    FALSE_EMPTY = "a claim found no more jobs while a job was in the queue"


@frozen
class QueueViolation:
    """A fault, and the operations that show it."""

    fault: Fault
    #: The fault first, then the fact that it contradicts.
    operations: tuple[QueueOperation, ...]
    detail: str = ""

    def __str__(self) -> str:
        lines = [self.fault.value + (f": {self.detail}" if self.detail else "")]
        return "\n    ".join([*lines, *map(str, self.operations)])


def check_queue(
    operations: Iterable[QueueOperation],
    *,
    remaining: Collection[str] | None = None,
    strict_order: bool = True,
) -> list[QueueViolation]:
    """Return the faults of a queue's history; none if some order explains it.

    Args:
        operations: the operations of all clients, starting with an empty queue. Each job enters
            once; a released job is a new one, with its own name.
        remaining: the names of the jobs that were left at the end; None: not read.
        strict_order: whether the queue promises the best job of all lanes, and to return one if
            there is one; if not, only the ownership is checked.
    """
    monitor = _Monitor(operations)
    violations = [*monitor.ownership()]
    if strict_order:
        violations += islice(monitor.order(), MOST)
    if remaining is not None:
        violations += monitor.accounts(frozenset(remaining))
    violations += islice(monitor.times(strict_order=strict_order), MOST)
    return violations


@define(eq=False)
class _Stay:
    """A job, with its enqueue and its end in the queue."""

    job: QueuedJob
    enqueue: QueueOperation
    take: QueueOperation | None = None
    #: The lanes of its claim.
    lanes: Sequence[str] = ()
    withdrawal: QueueOperation | None = None
    #: The first moment at which a call without an answer may have removed it.
    vanishes: int = FOREVER
    #: Whether a withdrawal without an answer may have removed it.
    perhaps_withdrawn: bool = False
    #: Omitted from the order, so that one fault is not reported many times.
    is_faulty: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether its end in the queue is known."""
        return self.take is not None or self.withdrawal is not None

    def leaves(self) -> tuple[int, int]:
        """Return the first and the last instant at which it can have left."""
        gone = self.take or self.withdrawal
        if gone is not None:
            return max(gone.invoked, self.enqueue.invoked), gone.ends
        return max(self.vanishes, self.enqueue.invoked), FOREVER


class _Monitor:
    def __init__(self, operations: Iterable[QueueOperation]) -> None:
        self._stays: dict[str, _Stay] = {}
        #: The takes, each with the names of its jobs.
        self._takes: list[tuple[QueueOperation, Take, tuple[str, ...]]] = []
        self._withdrawals: list[tuple[QueueOperation, Withdraw]] = []
        #: The number of jobs that claims without an answer may have taken.
        self._unanswered = 0
        self._unanswered_since: dict[str, int] = {}
        self._busy: dict[str, BusyTimes] = defaultdict(BusyTimes)
        #: By lane: the jobs that make it busy, with their times.
        self._causes: dict[str, list[tuple[int, int, _Stay]]] = defaultdict(list)
        for operation in operations:
            self._add(operation)

    def ownership(self) -> Iterator[QueueViolation]:
        """Yield the faults of ownership; record how each job left."""
        for operation, take, names in self._takes:
            if len(names) > take.limit:
                yield QueueViolation(Fault.TOO_MANY, (operation,))
            for name in names:
                stay = self._stays.get(name)
                if stay is None:
                    yield QueueViolation(Fault.FROM_NOWHERE, (operation,), name)
                    continue
                if stay.job.lane not in take.lanes:
                    yield QueueViolation(Fault.OTHER_LANE, (operation, stay.enqueue), name)
                if stay.take is not None:
                    yield QueueViolation(Fault.DOUBLE_CLAIM, (operation, stay.take), name)
                else:
                    stay.take, stay.lanes = operation, take.lanes
        yield from self._withdrawn()
        for stay in self._stays.values():
            since = self._unanswered_since.get(stay.job.lane, FOREVER)
            stay.vanishes = min(stay.vanishes, since)

    def order(self) -> Iterator[QueueViolation]:
        """Yield the claims whose answers are not in the order of the ranks."""
        for operation, _, names in self._takes:
            jobs = [self._stays[name].job for name in names if name in self._stays]
            for first, second in pairwise(jobs):
                if first.rank > second.rank:
                    detail = f"{first.name} ({first.rank}) is before {second.name} ({second.rank})"
                    yield QueueViolation(Fault.NOT_SORTED, (operation,), detail)

    def accounts(self, remaining: frozenset[str]) -> Iterator[QueueViolation]:
        """Yield lost jobs, and jobs that should not exist."""
        missing: list[_Stay] = []
        for name, stay in self._stays.items():
            if stay.is_gone:
                gone = stay.take or stay.withdrawal
                if name in remaining and gone is not None:
                    yield QueueViolation(Fault.STILL_THERE, (gone, stay.enqueue), name)
            elif name in remaining:
                stay.vanishes = FOREVER
            elif stay.enqueue.is_known and stay.vanishes == FOREVER:
                stay.is_faulty = True
                yield QueueViolation(Fault.LOST, (stay.enqueue,), name)
            elif stay.enqueue.is_known and not stay.perhaps_withdrawn:
                missing.append(stay)
        if len(missing) > self._unanswered:
            detail = f"{len(missing)} are gone, unanswered claims requested {self._unanswered}"
            yield QueueViolation(Fault.LOST, tuple(stay.enqueue for stay in missing), detail)

    def times(self, *, strict_order: bool) -> Iterator[QueueViolation]:
        """Yield operations at impossible times."""
        stays = sorted(self._stays.values(), key=lambda stay: (stay.job.rank, stay.enqueue.invoked))
        for stay in stays:
            first, last = stay.leaves()
            if first > last:
                gone = stay.take or stay.withdrawal or stay.enqueue
                yield QueueViolation(Fault.TOO_EARLY, (gone, stay.enqueue), stay.job.name)
                continue
            if stay.take is not None and strict_order:
                begin, first = first, self._free_from(first, stay.lanes)
                if first > last:
                    yield self._inversion(stay, begin, last)
                    continue
            self._keep_busy(stay, first)
        if strict_order:
            yield from self._false_empties()

    def _add(self, operation: QueueOperation) -> None:
        match operation.argument:
            case Enqueue(job):
                self._stays[job.name] = _Stay(job, operation)
            case Withdraw() as withdraw:
                self._withdrawals.append((operation, withdraw))
            case Take() as take if isinstance(operation.result, tuple):
                self._takes.append((operation, take, operation.result))
            case Take(lanes, limit):
                self._unanswered += limit
                for lane in lanes:
                    since = self._unanswered_since.get(lane, FOREVER)
                    self._unanswered_since[lane] = min(since, operation.invoked)

    def _withdrawn(self) -> Iterator[QueueViolation]:
        for operation, withdraw in self._withdrawals:
            stay = self._stays.get(withdraw.name)
            if stay is None:
                if operation.is_known:
                    yield QueueViolation(Fault.FROM_NOWHERE, (operation,), withdraw.name)
            elif not operation.is_known:
                stay.vanishes = min(stay.vanishes, operation.invoked)
                stay.perhaps_withdrawn = True
            elif stay.take is not None:
                yield QueueViolation(Fault.GONE_TWICE, (operation, stay.take), withdraw.name)
            else:
                stay.withdrawal = operation

    def _keep_busy(self, stay: _Stay, until: int) -> None:
        """Note when a job was certainly in the queue."""
        since = stay.enqueue.ends
        if not stay.is_faulty:
            self._busy[stay.job.lane].add(since, until)
            self._causes[stay.job.lane].append((since, until, stay))

    def _free_from(self, instant: int, lanes: Iterable[str]) -> int:
        """Return the first instant from this one on at which none of the lanes was busy."""
        busy = [self._busy[lane] for lane in lanes if lane in self._busy]
        while True:
            later = max((item.free_from(instant) for item in busy), default=instant)
            if later == instant:
                return instant
            instant = later

    def _inversion(self, stay: _Stay, begin: int, end: int) -> QueueViolation:
        causes = self._cover(stay.lanes, begin, end)
        worse = any(cause.job.priority < stay.job.priority for cause in causes)
        fault = Fault.PRIORITY_INVERSION if worse else Fault.FIFO_INVERSION
        take = stay.take or stay.enqueue
        jobs = ", ".join(f"{cause.job.name} (rank {cause.job.rank})" for cause in causes)
        detail = f"{stay.job.name} (rank {stay.job.rank}) was claimed before {jobs}"
        return QueueViolation(fault, (take, *self._histories(causes)), detail)

    def _false_empties(self) -> Iterator[QueueViolation]:
        for operation, take, names in self._takes:
            if len(names) >= take.limit:
                continue
            if self._free_from(operation.invoked, take.lanes) > operation.ends:
                causes = self._cover(take.lanes, operation.invoked, operation.ends)
                detail = ", ".join(cause.job.name for cause in causes)
                operations = (operation, *self._histories(causes))
                yield QueueViolation(Fault.FALSE_EMPTY, operations, detail)

    def _cover(self, lanes: Iterable[str], begin: int, end: int) -> list[_Stay]:
        """Return few jobs, of which one was in the queue at each moment of an interval."""
        causes = [cause for lane in lanes for cause in self._causes[lane]]
        cover: list[_Stay] = []
        while begin <= end:
            there = [cause for cause in causes if cause[0] < begin < cause[1]]
            _, begin, stay = max(there, key=lambda cause: cause[1])
            cover.append(stay)
        return cover

    def _histories(self, stays: Iterable[_Stay]) -> list[QueueOperation]:
        return [
            operation
            for stay in stays
            for operation in (stay.enqueue, stay.take or stay.withdrawal)
            if operation is not None
        ]
