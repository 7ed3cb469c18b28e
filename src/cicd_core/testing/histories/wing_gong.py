"""Searches exhaustively for an order of concurrent operations that explains their answers.

This is the search of Wing and Gong, with the memory of Lowe. It goes through the calls and returns
in the order of time, and keeps every pair of a state and a set of operations under way that have
got their place. An operation gets its place as late as possible: when it returns, or when another
operation can only answer as it did after it ("just in time"). The search is exact, and exponential
in the number of concurrent operations that change the state. It suits the operations on one record,
or small windows of a queue.

References: J. Wing, C. Gong, "Testing and verifying concurrent objects" (1993); G. Lowe, "Testing
for linearizability" (2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cicd_core.testing.recording.operation import Operation
from cicd_core.travelling import reduced
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

OperationT = TypeVar("OperationT", bound=Operation[Any, Any])
StateT = TypeVar("StateT", bound="Hashable")

#: The most pairs of a state and a set to keep at one moment.
LIMIT = 50_000


class TooManyOrders(Exception):
    """The search would take too long: too many operations were under way at once."""

    def __reduce__(self) -> str | tuple[Any, ...]:
        return reduced(self)

    def __init__(self, limit: int) -> None:
        """Set the limit that was reached."""
        super().__init__(
            f"more than {limit} states and sets of operations are possible at one moment; "
            f"check a history with fewer concurrent operations, or raise the limit"
        )
        self.limit = limit


@frozen
class Order(Generic[OperationT]):
    """An order that explains every answer, without unknown outcomes that had no effect."""

    operations: tuple[OperationT, ...]


@frozen
class Stuck(Generic[OperationT, StateT]):
    """The proof that there is no such order."""

    #: The first operation, in the order of returns, with an unexplained answer.
    operation: OperationT
    #: The operations concurrent with it.
    concurrent: tuple[OperationT, ...]
    #: The states that were possible before.
    states: tuple[StateT, ...]


#: The operations with a place, last one first.
_Trace = tuple[int, "_Trace"] | None


def linearize(
    operations: Sequence[OperationT],
    initial: StateT,
    steps: Callable[[StateT, OperationT], tuple[StateT, ...]],
    *,
    limit: int = LIMIT,
) -> Order[OperationT] | Stuck[OperationT, StateT]:
    """Find an order in which the operations, one after the other, give their recorded answers.

    Args:
        operations: all operations, in any order. One with an unknown outcome may have its place at
            any time after the call, or none.
        initial: the state before the first operation.
        steps: returns the states to which an operation may lead from a state, given its answer;
            no state if it cannot answer that there. For an unknown outcome, it returns only states
            in which the operation took effect. An answer that leaves one state unchanged must not
            change any other state: a read gets its place as soon as its answer is right.
        limit: the most pairs of a state and a set of operations to keep at one moment.

    Raises:
        TooManyOrders: the limit was reached.
    """
    search = _Search(operations, initial, steps, limit)
    for _, returns, number in sorted(_moments(operations)):
        if not returns:
            search.invoke(number)
        elif (stuck := search.finish(number)) is not None:
            return stuck
    return search.order()


def _moments(operations: Sequence[OperationT]) -> Iterator[tuple[int, bool, int]]:
    """Yield the start and end of each operation, starts first at the same instant.

    So operations that only touch are concurrent.
    """
    for number, operation in enumerate(operations):
        yield operation.invoked, False, number
        if operation.returned is not None:
            yield operation.returned, True, number


class _Search(Generic[OperationT, StateT]):
    """The pairs that are possible at one moment, each with the places given so far."""

    def __init__(
        self,
        operations: Sequence[OperationT],
        initial: StateT,
        steps: Callable[[StateT, OperationT], tuple[StateT, ...]],
        limit: int,
    ) -> None:
        self._operations = operations
        self._steps = steps
        self._limit = limit
        #: The set is a sum of the bits of its operations.
        self._pairs: dict[tuple[StateT, int], _Trace] = {(initial, 0): None}
        #: Under way: the bit of each operation.
        self._bits: dict[int, int] = {}
        self._free: list[int] = []

    def invoke(self, number: int) -> None:
        """Handle the call of an operation."""
        bit = self._free.pop() if self._free else 1 << len(self._bits)
        self._bits[number] = bit
        pairs: dict[tuple[StateT, int], _Trace] = {}
        for (state, done), trace in self._pairs.items():
            if self._reads(state, number):
                pairs[state, done | bit] = (number, trace)
            else:
                pairs[state, done] = trace
        self._pairs = pairs

    def finish(self, number: int) -> Stuck[OperationT, StateT] | None:
        """Handle the return of an operation: keep only pairs in which it has its place."""
        bit = self._bits[number]
        seen = dict(self._pairs)
        waiting = [(*pair, trace) for pair, trace in seen.items()]
        finished: dict[tuple[StateT, int], _Trace] = {}
        while waiting:
            state, done, trace = waiting.pop()
            if done & bit:
                finished.setdefault((state, done ^ bit), trace)
                continue
            for after in self._after(state, done, trace):
                pair = after[:2]
                if pair not in seen:
                    seen[pair] = after[2]
                    waiting.append(after)
            if len(seen) > self._limit:
                raise TooManyOrders(self._limit)
        del self._bits[number]
        self._free.append(bit)
        if not finished:
            return self._stuck(number)
        self._pairs = finished
        return None

    def order(self) -> Order[OperationT]:
        """Return one of the found orders."""
        trace = next(iter(self._pairs.values()))
        numbers: list[int] = []
        while trace is not None:
            number, trace = trace
            numbers.append(number)
        return Order(tuple(self._operations[number] for number in reversed(numbers)))

    def _after(
        self, state: StateT, done: int, trace: _Trace
    ) -> Iterator[tuple[StateT, int, _Trace]]:
        """Yield the pairs after one more operation under way."""
        for number, bit in self._bits.items():
            if not done & bit:
                for step in self._steps(state, self._operations[number]):
                    yield self._with_reads(step, done | bit, (number, trace))

    def _with_reads(self, state: StateT, done: int, trace: _Trace) -> tuple[StateT, int, _Trace]:
        """Give a place to all reads whose answer is right in this state."""
        for number, bit in self._bits.items():
            if not done & bit and self._reads(state, number):
                done |= bit
                trace = (number, trace)
        return state, done, trace

    def _reads(self, state: StateT, number: int) -> bool:
        operation = self._operations[number]
        return operation.is_known and self._steps(state, operation) == (state,)

    def _stuck(self, number: int) -> Stuck[OperationT, StateT]:
        others = (self._operations[other] for other in self._bits)
        states = dict.fromkeys(state for state, _ in self._pairs)
        return Stuck(self._operations[number], tuple(others), tuple(states))
