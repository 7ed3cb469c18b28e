"""Checks whether the order of a store's own versions explains all answers: O(n log n).

A version is a stamp: the writes of one record happened in the order of their versions, or not at
all. So no search is needed: the model is replayed in that order. The order must agree with real
time: no operation may return before an operation with an earlier stamp is called. A read has no
stamp; it gets the first place at which its answer is right.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from cicd_core.store.records import Claim, Renewal, Renewed
from cicd_core.testing.histories.model import ABSENT, Erase, Sight, Write, record_steps
from cicd_core.testing.recording.operation import Operation
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.testing.histories.model import RecordOperation

OperationT = TypeVar("OperationT", bound=Operation[Any, Any])
StateT = TypeVar("StateT")

#: The version from an operation, and its order within the version.
_Stamp: TypeAlias = tuple[int, int, int, int]


@frozen
class Refuted(Generic[OperationT]):
    """A proof that the stamped order does not explain the answers."""

    reason: str
    operations: tuple[OperationT, ...]


class Unstamped(Exception):
    """The stamps do not give the order: an outcome is unknown, or a call was repeated."""


def replay(
    stamped: Sequence[OperationT],
    unstamped: Iterable[OperationT],
    initial: StateT,
    steps: Callable[[StateT, OperationT], tuple[StateT, ...]],
) -> Refuted[OperationT] | None:
    """Check a known order, and find a place in it for each read.

    Args:
        stamped: the operations in the order of their stamps.
        unstamped: operations that changed nothing, by their answers.
        initial: the state before the first operation.
        steps: as for :func:`cicd_core.testing.histories.wing_gong.linearize`.

    Returns:
        None if the order explains everything.
    """
    states = [initial]
    for operation in stamped:
        after = steps(states[-1], operation)
        if len(after) != 1:
            return Refuted(f"cannot be answered in this state: {states[-1]}", (operation,))
        states.append(after[0])
    return _against_time(stamped) or _place(stamped, unstamped, states, steps)


def check_versions(operations: Sequence[RecordOperation]) -> Refuted[RecordOperation] | None:
    """Check the history of a record by the versions of its writes.

    Returns:
        None if it is linearizable.

    Raises:
        Unstamped: the versions do not give the order.
    """
    stamped: list[tuple[_Stamp, RecordOperation]] = []
    unstamped: list[RecordOperation] = []
    made: set[str] = set()
    for operation in operations:
        stamp = _stamp(operation)
        if stamp is None:
            unstamped.append(operation)
        else:
            stamped.append((stamp, operation))
        _require_first(operation, made)
    stamped.sort(key=lambda item: (item[0], item[1].invoked))
    in_order = [operation for _, operation in stamped]
    return replay(in_order, unstamped, ABSENT, record_steps)


def _stamp(operation: RecordOperation) -> _Stamp | None:
    """Return the version from an operation, and its order within the version."""
    if not operation.is_known:
        raise Unstamped
    match operation.argument, operation.result:
        case Write(), int(version):
            return version, 0, 0, 0
        case Claim(), Sight(version):
            return version, 0, 0, 0
        case Renewal(), Renewed(version=version, renewed=renewed, expires=expires):
            return version, 1, renewed, expires
        case Erase(expected=expected), int():
            return expected, 2, 0, 0
        case _:
            return None


def _require_first(operation: RecordOperation, made: set[str]) -> None:
    argument = operation.argument
    if isinstance(argument, Write | Claim):
        name = argument.commit_id if isinstance(argument, Write) else argument.claim_id
        if name in made:
            raise Unstamped
        made.add(name)


def _against_time(stamped: Sequence[OperationT]) -> Refuted[OperationT] | None:
    latest: OperationT | None = None
    for operation in stamped:
        if latest is None or operation.invoked > latest.invoked:
            latest = operation
        if operation.ends < latest.invoked:
            reason = "the first was stamped before the second, and called after its return"
            return Refuted(reason, (latest, operation))
    return None


def _place(
    stamped: Sequence[OperationT],
    unstamped: Iterable[OperationT],
    states: Sequence[StateT],
    steps: Callable[[StateT, OperationT], tuple[StateT, ...]],
) -> Refuted[OperationT] | None:
    """Give each read the first place at which its answer is right.

    Place n is before the n-th stamped operation. A read can have that place if it returns after the
    calls of all operations before the place, is called before the return of any operation after it,
    and comes after the reads that had already returned. The first place leaves the most places to
    the others.
    """
    called = [0, *accumulate((item.invoked for item in stamped), max)]
    returns = list(accumulate((item.ends for item in reversed(stamped)), min))
    returns.reverse()
    #: The return times of reads with a place, and their places.
    under_way: list[tuple[int, int]] = []
    earliest = first = 0
    for operation in sorted(unstamped, key=lambda item: item.invoked):
        while earliest < len(stamped) and returns[earliest] < operation.invoked:
            earliest += 1
        while under_way and under_way[0][0] < operation.invoked:
            first = max(first, heappop(under_way)[1])
        place = max(earliest, first)
        while place <= len(stamped) and called[place] <= operation.ends:
            if steps(states[place], operation) == (states[place],):
                break
            place += 1
        else:
            reason = "no state during its call explains its answer"
            return Refuted(reason, (operation,))
        heappush(under_way, (operation.ends, place))
    return None
