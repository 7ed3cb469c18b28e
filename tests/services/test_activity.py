"""What happened lately: by the hour for a day, by the day for two weeks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cicd_core import ControlPlane, Outcome, RetryPolicy, open_store
from cicd_core.entities import COLLECTIONS
from cicd_core.model.instants import to_micros
from cicd_core.testing import VirtualClock
from tests.services.scenes import enqueue, finish

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


async def test_ends_stand_in_their_hours_and_times_in_their_days() -> None:
    clock = VirtualClock(to_micros(NOON - timedelta(days=1)))
    async with open_store("memory://", clock=clock, collections=COLLECTIONS) as store:
        plane = ControlPlane(store)
        await enqueue(plane, retry=RetryPolicy(retry_on=()))
        clock.advance(60)
        await finish(plane, Outcome.exited(1))  # yesterday 12:31: behind the first hour
        clock.advance(3600)
        await enqueue(plane)
        await finish(plane)  # yesterday 13:31
        clock.advance(23 * 3600 - 60)
        await enqueue(plane)
        clock.advance(2)
        await finish(plane)  # today 12:30
        seen = await plane.dashboard.activity()
    assert seen.as_of == NOON + timedelta(seconds=2)
    assert [hour.begin for hour in seen.hours] == [
        NOON.replace(minute=0) + timedelta(hours=number - 23) for number in range(24)
    ]
    assert [dict(hour.ended) for hour in seen.hours] == [
        {"success": 1},
        *[{}] * 22,
        {"success": 1},
    ]
    assert [day.begin.day for day in seen.days] == [*range(8, 22)]
    yesterday, today = seen.days[-2:]
    assert (yesterday.claims, yesterday.average_wait_seconds, yesterday.runs) == (2, 30.0, 2)
    assert (today.claims, today.average_wait_seconds, today.average_run_seconds) == (1, 2.0, 0.0)
    assert [day.average_wait_seconds for day in seen.days[:-2]] == [None] * 12
