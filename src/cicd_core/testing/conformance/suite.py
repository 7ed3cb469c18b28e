"""The fixtures that all topics of the suite share."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar, Protocol

import pytest

from cicd_core.store.retrying import RetryingStore
from cicd_core.testing.conformance.crew import CREW, warm
from cicd_core.testing.conformance.store_clock import StoreClock
from cicd_core.testing.harness import PATIENT
from cicd_core.testing.pytest_plugin import SUITE, TRACE
from cicd_core.testing.samples import IDS
from cicd_core.testing.tracing import traced

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from cicd_core.store.contract import Store
    from cicd_core.testing.clock import VirtualClock
    from cicd_core.testing.harness import Capability, StoreHarness


class SetWallClock(Protocol):
    """The type of the fixture ``set_wall_clock``."""

    async def __call__(self, seconds: float) -> None:
        """Move the wall clock by a number of seconds, or skip the test."""
        ...


class Suite:
    """The fixtures of every topic. A test is a method whose name starts with ``test_``."""

    pytestmark: ClassVar[list[pytest.MarkDecorator]] = [pytest.mark.anyio]

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The event loop; a store that also runs on trio overrides this with parameters."""
        return "asyncio"

    @pytest.fixture
    def harness(self) -> StoreHarness:
        """Opens the store: the one fixture that a subclass must provide."""
        raise NotImplementedError("give a fixture `harness` that returns a StoreHarness")

    @pytest.fixture(autouse=True)
    def calls_are_noted(
        self, request: pytest.FixtureRequest, harness: StoreHarness
    ) -> Generator[None, None, None]:
        """Records the calls, to explain failures and to print the costs of a run."""
        with traced(harness) as trace:
            setattr(request.node, TRACE, trace)
            yield

    @pytest.fixture
    def namespace(self) -> str:
        """A new namespace."""
        return f"suite-{IDS.commit_id()}"

    @pytest.fixture
    async def store(self, harness: StoreHarness, namespace: str) -> AsyncGenerator[Store, None]:
        """An empty store."""
        async with harness.open(namespace) as store:
            yield store

    @pytest.fixture
    async def crew(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> AsyncGenerator[list[Store], None]:
        """Four stores on the same data, for a race; ``store`` is the first one."""
        async with AsyncExitStack() as stack:
            others = [
                await stack.enter_async_context(harness.open(namespace)) for _ in range(CREW - 1)
            ]
            for item in (store, *others):
                await warm(item)
            yield [RetryingStore(item, attempts=PATIENT) for item in (store, *others)]

    @pytest.fixture
    def clock(self, store: Store, harness: StoreHarness) -> StoreClock:
        """The store's clock, for a test that lets time pass."""
        return StoreClock(store, harness)

    @pytest.fixture
    async def set_wall_clock(self, harness: StoreHarness) -> AsyncGenerator[SetWallClock, None]:
        """Sets the wall clock forward, or back, by seconds; it is reset at the end of the test."""
        moved = 0.0

        async def set_by(seconds: float) -> None:
            nonlocal moved
            if not await harness.set_wall_clock(seconds):
                pytest.skip("this harness cannot set the store's wall clock")
            moved += seconds

        yield set_by
        if moved:
            await harness.set_wall_clock(-moved)

    @pytest.fixture
    def exact_clock(self, harness: StoreHarness) -> VirtualClock:
        """The store's clock, for a test that needs a stopped clock."""
        if harness.clock is None:
            pytest.skip("this harness cannot stop the store's clock")
        return harness.clock


def require(harness: StoreHarness, capability: Capability) -> None:
    """Skip a test that needs more than the contract requires."""
    if capability not in harness.capabilities:
        pytest.skip(f"this store does not promise {capability.value}")


setattr(Suite, SUITE, True)
