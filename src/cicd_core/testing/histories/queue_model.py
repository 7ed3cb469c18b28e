"""The model of a queue as a pure function: jobs in lanes, taken by rank."""

from __future__ import annotations

from typing import TypeAlias

from cicd_core.testing.recording.operation import UNKNOWN, Operation
from cicd_core.values import frozen


@frozen(cache_hash=True)
class QueuedJob:
    """One stay of a job in the queue: it enters once and leaves once."""

    name: str
    lane: str
    #: The smallest rank goes first; all ranks differ.
    rank: str
    #: The part of the rank that is its priority, to name a violation.
    priority: str = ""


@frozen
class Enqueue:
    """Add a job; the answer is empty."""

    job: QueuedJob


@frozen
class Take:
    """Take up to ``limit`` jobs of these lanes; the answer is their names, best first."""

    lanes: tuple[str, ...]
    limit: int = 1


@frozen
class Withdraw:
    """Remove a job from any place in the queue; the answer is empty if it was in the queue."""

    name: str


QueueArgument: TypeAlias = Enqueue | Take | Withdraw
QueueResult: TypeAlias = tuple[str, ...] | None
QueueOperation: TypeAlias = Operation[QueueArgument, QueueResult]
QueueState: TypeAlias = frozenset[QueuedJob]

#: An empty queue.
EMPTY: QueueState = frozenset()


def queue_steps(state: QueueState, operation: QueueOperation) -> tuple[QueueState, ...]:
    """Return the states that an operation may lead to, given its result.

    No state: it cannot answer that in this state. For an operation with an unknown outcome, only
    the states in which it took effect are returned. A take of several jobs is one step here.
    """
    argument, result = operation.argument, operation.result
    match argument:
        case Enqueue(job):
            return () if job in state else (state | {job},)
        case Take(lanes, limit):
            waiting = sorted((item.rank, item.name, item) for item in state if item.lane in lanes)
            first = [job for _, _, job in waiting[:limit]]
            if result is UNKNOWN:
                return (state.difference(first),) if first else ()
            names = tuple(job.name for job in first)
            return (state.difference(first),) if result == names else ()
        case Withdraw(name):
            left = frozenset(item for item in state if item.name != name)
            return (left,) if left != state else ()
