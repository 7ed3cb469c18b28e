"""The model of a queue: jobs in lanes, taken best rank first, as a pure function."""

from __future__ import annotations

from typing import TypeAlias

from cicd_core.testing.recording.operation import UNKNOWN, Operation
from cicd_core.values import frozen


@frozen(cache_hash=True)
class QueuedJob:
    """One stay in the queue: it comes once and goes once."""

    name: str
    lane: str
    #: The smallest one goes first; no two jobs have the same.
    rank: str
    #: The part of the rank that is its priority, so that a violation can be named.
    priority: str = ""


@frozen
class Enqueue:
    """A job comes; answered by nothing."""

    job: QueuedJob


@frozen
class Take:
    """Take up to ``limit`` jobs of these lanes; answered by their names, best first."""

    lanes: tuple[str, ...]
    limit: int = 1


@frozen
class Withdraw:
    """Remove a job from any place in the queue; the answer is empty if it was there."""

    name: str


QueueArgument: TypeAlias = Enqueue | Take | Withdraw
QueueResult: TypeAlias = tuple[str, ...] | None
QueueOperation: TypeAlias = Operation[QueueArgument, QueueResult]
QueueState: TypeAlias = frozenset[QueuedJob]

#: A queue before anything came.
EMPTY: QueueState = frozenset()


def queue_steps(state: QueueState, operation: QueueOperation) -> tuple[QueueState, ...]:
    """Return the states that an operation may lead to, given its result.

    None at all: it cannot answer that in this state. Of an operation whose outcome is unknown,
    only the states in which it did something are returned. A take is one step here, however many
    jobs it takes.
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
