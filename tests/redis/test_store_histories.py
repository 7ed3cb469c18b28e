"""What many clients of a Redis store see at once has an explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.testing.conformance.histories import HistoryConformance
from tests.redis.engines import shared_server
from tests.redis.test_store_conformance import harness_of, oldest_server

if TYPE_CHECKING:
    from cicd_core.testing import StoreHarness


class TestRedisHistories(HistoryConformance):
    @pytest.fixture
    def store_url(self) -> str:
        return f"{shared_server().url}?durability=none"

    @pytest.fixture
    def harness(self) -> StoreHarness:
        return harness_of(shared_server())


@pytest.mark.thorough
class TestHistoriesOfTheOldestServer(HistoryConformance):
    @pytest.fixture
    def store_url(self) -> str:
        return f"{oldest_server().url}?durability=none"

    @pytest.fixture
    def harness(self) -> StoreHarness:
        return harness_of(oldest_server())
