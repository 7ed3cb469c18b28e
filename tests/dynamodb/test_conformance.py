"""The DynamoDB store keeps the contract, on each engine that this machine can have."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from cicd_core.testing import StoreConformance, StoreHarness, store_machine
from cicd_core.testing.conformance.histories import HistoryConformance
from tests.dynamodb.engines import engines
from tests.dynamodb.harness import harness_of

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.registry import StoreFactory
    from cicd_core_dynamodb import DynamoDBStore, open_dynamodb

    # What the type checker is told of every store and of what opens it.
    _store: type[Store] = DynamoDBStore
    _factory: StoreFactory = open_dynamodb


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


TestDynamoDBInLockstep = store_machine(partial(harness_of, engines()[-1])).TestCase
