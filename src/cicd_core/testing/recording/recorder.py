"""Records calls: the request, its time, and the answer."""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

from cicd_core.clock import boot_micros
from cicd_core.testing.recording.operation import UNKNOWN, Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

Answer = TypeVar("Answer")
Argument = TypeVar("Argument")
Result = TypeVar("Result")


class CallRecorder(Generic[Argument, Result]):
    """Collects the operations of many clients. Thread-safe."""

    def __init__(
        self,
        sink: Callable[[Operation[Argument, Result]], object] | None = None,
        clock: Callable[[], int] = boot_micros,
    ) -> None:
        """Start with nothing recorded.

        Args:
            sink: takes each call before it is made, as an operation without an answer, and again
                with its answer; a read only with its answer. Without one the operations are kept.
            clock: returns the time (µs); by default the time since the machine started.
        """
        self._sink = sink
        self._clock = clock
        #: The records, if there is no sink; each operation once.
        self.operations: list[Operation[Argument, Result]] = []
        #: The number of calls made.
        self.asked = 0
        self._numbers: dict[str, Iterator[int]] = defaultdict(count)

    async def record(
        self,
        client: str,
        arguments: Sequence[Argument],
        call: Awaitable[Answer],
        results: Callable[[Answer], Iterable[Result]],
        *,
        reads: bool = False,
    ) -> Answer:
        """Make a call, and record each of its parts.

        Args:
            client: the client that makes the call.
            arguments: the parts, which are answered independently.
            call: the call itself.
            results: splits the answer into one result per argument.
            reads: whether the call only reads: without an answer it is omitted.

        Raises:
            BaseException: the error of the call. Its effect is then unknown.
        """
        parts = [self._invoked(client, argument) for argument in arguments]
        if self._sink is not None and not reads:
            for part in parts:
                self._sink(part)
        try:
            answer = await call
        except BaseException:
            if self._sink is None and not reads:
                self.operations += parts
            raise
        returned = self._clock()
        for part, result in zip(parts, results(answer), strict=True):
            self._keep(part, result, returned)
        return answer

    def note(self, client: str, argument: Argument, result: Result) -> None:
        """Record an event at this time, or a call that took no time."""
        self._keep(self._invoked(client, argument), result, self._clock())

    def _invoked(self, client: str, argument: Argument) -> Operation[Argument, Result]:
        self.asked += 1
        return Operation(
            client=client,
            number=next(self._numbers[client]),
            argument=argument,
            result=UNKNOWN,
            invoked=self._clock(),
            returned=None,
        )

    def _keep(self, part: Operation[Argument, Result], result: Result, returned: int) -> None:
        operation: Operation[Argument, Result] = Operation(
            client=part.client,
            number=part.number,
            argument=part.argument,
            result=result,
            invoked=part.invoked,
            returned=returned,
        )
        if self._sink is None:
            self.operations.append(operation)
        else:
            self._sink(operation)
