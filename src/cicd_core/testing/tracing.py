"""The calls of a test to a store: requests, answers and durations.

Every store that a harness opens within :func:`traced` records its calls. The last calls explain a
failure of the suite, and the table at the end of a run adds up all of them.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from attrs import define, field

from cicd_core.clock import monotonic_seconds
from cicd_core.testing.harness import checked
from cicd_core.testing.passing_store import PassingStore

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Awaitable,
        Callable,
        Generator,
        Iterable,
        Mapping,
    )
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Collection,
    )
    from cicd_core.testing.harness import StoreHarness

Answer = TypeVar("Answer")

#: The number of last calls that are kept completely.
_KEPT: Final = 32


@define(eq=False)
class TracedCall:
    """One call of a verb."""

    verb: str
    arguments: tuple[object, ...]
    #: The result; meaningless while it runs.
    answer: Any = None
    #: The error instead of an answer.
    error: BaseException | None = None
    is_over: bool = False


@define
class Cost:
    """The calls of one verb, added up."""

    calls: int = 0
    #: Seconds on the monotonic clock of this process.
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, other: Cost) -> None:
        """Add the calls of another one."""
        self.calls += other.calls
        self.seconds += other.seconds
        self.longest = max(self.longest, other.longest)


@define
class Trace:
    """The calls of one test."""

    #: The last calls, in order.
    calls: deque[TracedCall] = field(factory=lambda: deque[TracedCall](maxlen=_KEPT))
    costs: dict[str, Cost] = field(factory=dict[str, Cost])

    async def call(
        self, verb: str, function: Callable[..., Awaitable[Answer]], *arguments: object
    ) -> Answer:
        """Make a call, and record it.

        Raises:
            BaseException: the error of the call.
        """
        call = TracedCall(verb, arguments)
        self.calls.append(call)
        begun = monotonic_seconds()
        try:
            answer = await function(*arguments)
        except BaseException as error:
            call.error = error
            raise
        else:
            call.answer = answer
            return answer
        finally:
            call.is_over = True
            seconds = monotonic_seconds() - begun
            self.costs.setdefault(verb, Cost()).add(Cost(1, seconds, seconds))


class TracedStore(PassingStore):
    """A store whose calls are recorded; its other attributes are those of the wrapped store."""

    def __init__(self, store: Store, trace: Trace) -> None:
        super().__init__(store)
        self._trace = trace

    async def ask(
        self, verb: str, function: Callable[..., Awaitable[Answer]], *arguments: Any
    ) -> Answer:
        """Call a verb of the wrapped store, and record it."""
        return await self._trace.call(verb, function, *arguments)

    def before(self, sibling: Store) -> Store:
        """Return a store whose calls are recorded here too."""
        return TracedStore(sibling, self._trace)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


if TYPE_CHECKING:
    _store: type[Store] = TracedStore


def untraced(store: Store) -> Store:
    """Return the store itself, without its recording wrapper."""
    return store.store if isinstance(store, TracedStore) else store


@contextmanager
def traced(harness: StoreHarness) -> Generator[Trace, None, None]:
    """Record the calls of every store that the harness opens in the block."""
    trace = Trace()
    opening, forgetful, own = harness.open, harness.open_forgetful, vars(harness)

    def open_traced(
        namespace: str, *arguments: tuple[Collection, ...], **words: Any
    ) -> AbstractAsyncContextManager[Store]:
        return _opened(opening(namespace, *arguments, **words), trace)

    def open_forgetful_traced(namespace: str) -> AbstractAsyncContextManager[Store] | None:
        found = forgetful(namespace)
        return None if found is None else _opened(found, trace)

    # This works for every subclass, and for every way in which a test opens a store.
    before = dict(own)
    own.update(open=open_traced, open_forgetful=open_forgetful_traced)
    try:
        yield trace
    finally:
        for name in ("open", "open_forgetful"):
            del own[name]
            if name in before:
                own[name] = before[name]


@asynccontextmanager
async def _opened(
    opening: AbstractAsyncContextManager[Store], trace: Trace
) -> AsyncGenerator[Store, None]:
    async with opening as store:
        yield store if isinstance(store, TracedStore) else TracedStore(checked(store), trace)


def added_up(costs: Iterable[Mapping[str, Cost]]) -> dict[str, Cost]:
    """Return the sum of some costs, by verb."""
    total: dict[str, Cost] = {}
    for item in costs:
        for verb, cost in item.items():
            total.setdefault(verb, Cost()).add(cost)
    return total
