"""The DynamoDB store keeps the contract, on each engine that this machine can have."""

from __future__ import annotations

from collections import ChainMap
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from cicd_core.testing import StoreConformance, StoreHarness, store_machine
from cicd_core.testing.conformance.histories import HistoryConformance
from cicd_core.testing.pytest_plugin import histories_of
from tests.dynamodb.engines import engines
from tests.dynamodb.harness import harness_of

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.registry import BackendFactory
    from cicd_core_dynamodb import DynamoDBBackend, open_dynamodb

    # What the type checker is told of every store and of what opens it.
    _store: type[Store] = DynamoDBBackend
    _factory: BackendFactory = open_dynamodb


# Each of its calls is several requests, so that it takes a minute of CPU: the machine and the
# histories below call every verb in less.
@pytest.mark.thorough
class TestDynamoDBStore(StoreConformance):
    @pytest.fixture
    def harness(self, engine: str) -> StoreHarness:
        return harness_of(engine)


class TestDynamoDBHistories(HistoryConformance):
    @pytest.fixture
    def harness(self, engine: str) -> StoreHarness:
        return harness_of(engine)

    @pytest.fixture
    def store_url(self, engine: str) -> str:
        return harness_of(engine).url

    @pytest.fixture
    def histories(self, request: pytest.FixtureRequest) -> int:
        """A few: each of their calls is several requests, and an engine takes a while for them."""
        return max(1, histories_of(request.config) // 8)


@pytest.mark.crash
@pytest.mark.timeout(900)
class TestManyDynamoDBHistories(TestDynamoDBHistories):
    @pytest.fixture
    def histories(self, request: pytest.FixtureRequest) -> int:
        return histories_of(request.config)


def lockstep(engine: str, examples: int, *, is_short: bool = False) -> Any:
    """Return the machine on an engine: a step of it asks the engine some hundred times.

    A short one has the same few examples each time; the long one is there to look for new ones.
    """
    case = store_machine(partial(harness_of, engine)).TestCase
    case.settings = settings(case.settings, max_examples=examples, derandomize=is_short)
    return case


def lockstep_on(engine: str) -> dict[str, Any]:
    """Return the cases of an engine, a short one and a long one, by their names."""
    long = pytest.mark.crash(pytest.mark.timeout(1800)(lockstep(engine, 300)))
    short = lockstep(engine, 5, is_short=True)
    if engine != engines()[0]:
        short = pytest.mark.thorough(short)
    name = engine.title()
    return {
        f"TestDynamoDBInLockstepOn{name}": short,
        f"TestDynamoDBLongInLockstepOn{name}": long,
    }


# A name for each, and no other one that pytest would take for a case.
globals().update(ChainMap(*map(lockstep_on, engines())))
