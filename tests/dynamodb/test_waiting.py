"""Waiting costs reads: who waits in vain looks less and less often, also from wait to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.testing.samples import claim, in_lane, item, watch, write
from cicd_core_dynamodb import store as store_module

if TYPE_CHECKING:
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio


class Time:
    """A time that only passes in sleep, and what was slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def slept(self) -> list[float]:
        """Return the pauses since this was asked last."""
        pauses, self.pauses = self.pauses, []
        return pauses


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    passing = Time()
    monkeypatch.setattr(store_module, "current_time", lambda: passing.now)
    monkeypatch.setattr(store_module, "sleep", passing.sleep)
    return passing


async def test_who_waits_in_vain_looks_less_and_less_often(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with dynamodb.open(namespace, poll_seconds=2.0) as store:
        assert not await store.wait([watch(in_lane())], 5.0)
        first = time.slept()
        assert sum(first) == pytest.approx(5.0)
        assert first[0] < 0.1
        assert not await store.wait([watch(in_lane())], 5.0)
        assert len(time.slept()) < len(first) / 2


async def test_who_found_something_looks_often_again(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with dynamodb.open(namespace, poll_seconds=2.0) as store:
        assert not await store.wait([watch(in_lane())], 5.0)
        await write(store, item("a"))
        assert await store.wait([watch(in_lane())], 5.0)
        (_,) = await store.claim(claim())
        time.slept()
        assert not await store.wait([watch(in_lane())], 5.0)
        assert time.slept()[0] < 0.1


async def test_who_waits_for_something_else_begins_anew(
    dynamodb: DynamoDBHarness, namespace: str, time: Time
) -> None:
    async with dynamodb.open(namespace, poll_seconds=2.0) as store:
        assert not await store.wait([watch(in_lane())], 5.0)
        time.slept()
        assert not await store.wait([watch(in_lane("other"))], 5.0)
        assert time.slept()[0] < 0.1
