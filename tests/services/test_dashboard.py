"""The summary: what a person wants to see first, in the time zone where that person is."""

from __future__ import annotations

import sys
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import pytest

from cicd_core import (
    ControlPlane,
    DeploymentSpec,
    DeploymentStatus,
    InvalidInput,
    JobSpec,
    JobState,
    JobStatus,
    Outcome,
    RetryPolicy,
    open_store,
)
from cicd_core.entities import COLLECTIONS
from cicd_core.model.instants import to_micros
from cicd_core.testing import VirtualClock
from tests.services.scenes import claim, enqueue, finish, ids, one_of_each

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager
    from types import ModuleType

pytestmark = pytest.mark.anyio


def opened_at(moment: datetime, url: str) -> tuple[VirtualClock, AbstractAsyncContextManager[Any]]:
    clock = VirtualClock(to_micros(moment))
    return clock, open_store(url, clock=clock, collections=COLLECTIONS)


@pytest.fixture
async def at_1830_utc(store_url: str) -> AsyncIterator[tuple[ControlPlane, VirtualClock]]:
    """21 November 2026, 18:30 in London, which is midnight in Kolkata."""
    clock, opening = opened_at(datetime(2026, 11, 21, 18, 30, tzinfo=UTC), store_url)
    async with opening as store:
        yield ControlPlane(store), clock


async def test_an_empty_dashboard_counts_nothing(plane: ControlPlane) -> None:
    summary = await plane.dashboard.summary()
    assert (summary.jobs_running, summary.failed_today, summary.deployments_today) == (0, 0, 0)
    assert summary.jobs_by_status == dict.fromkeys(JobStatus, 0)
    assert summary.deployments_by_status == dict.fromkeys(DeploymentStatus, 0)
    assert (summary.recent_jobs, summary.recent_deployments) == ((), ())
    assert summary.exact


async def test_totals_by_status_are_those_of_the_jobs(plane: ControlPlane) -> None:
    made = await one_of_each(plane)
    await claim(plane, start=True)
    summary = await plane.dashboard.summary()
    assert summary.jobs_by_status == {
        JobStatus.PENDING: 1,
        JobStatus.QUEUED: 1,  # the claimed one
        JobStatus.RUNNING: 2,
        JobStatus.SUCCESS: 1,
        JobStatus.FAILED: 1,
        JobStatus.CANCELLED: 1,
        JobStatus.TIMEOUT: 1,
        JobStatus.ERROR: 2,  # and the dead letter
    }
    assert summary.jobs_running == 2
    # Failed, timed out, errored, and dead.
    assert summary.failed_today == 4
    assert len(made) == len(JobState)


async def test_the_five_most_recent_of_each_are_shown_the_newest_first(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    jobs, deployments = [], []
    for number in range(7):
        jobs.append(await enqueue(plane))
        spec = DeploymentSpec(service_name="shop", version=str(number))
        deployments.append(await plane.deployments.create(spec))
        clock.advance(1)
    ended = await finish(plane)
    assert ended.job_id == jobs[0].job_id
    summary = await plane.dashboard.summary()
    assert ids(summary.recent_jobs) == ids(jobs[:1:-1])
    assert summary.recent_deployments == tuple(deployments[:1:-1])
    assert summary.deployments_today == 7
    assert summary.deployments_by_status[DeploymentStatus.PENDING] == 7


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("UTC", datetime(2026, 11, 21, tzinfo=UTC)),
        (UTC, datetime(2026, 11, 21, tzinfo=UTC)),
        ("Europe/Zurich", datetime(2026, 11, 20, 23, tzinfo=UTC)),
        ("America/New_York", datetime(2026, 11, 21, 5, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2026, 11, 21, 18, 30, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 11, 21, 18, 15, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 11, 21, 13, tzinfo=UTC)),
        (ZoneInfo("Pacific/Auckland"), datetime(2026, 11, 21, 11, tzinfo=UTC)),
        (timezone(timedelta(hours=-3, minutes=-30)), datetime(2026, 11, 21, 3, 30, tzinfo=UTC)),
    ],
)
async def test_today_begins_at_midnight_where_the_person_is(
    at_1830_utc: tuple[ControlPlane, VirtualClock], zone: Any, midnight: datetime
) -> None:
    plane, _ = at_1830_utc
    summary = await plane.dashboard.summary(tz=zone)
    assert summary.today_since == midnight
    assert summary.as_of == datetime(2026, 11, 21, 18, 30, tzinfo=UTC)


async def test_what_failed_around_midnight_failed_on_its_own_side_of_it(store_url: str) -> None:
    clock, opening = opened_at(datetime(2026, 11, 21, 18, 29, 59, tzinfo=UTC), store_url)
    async with opening as store:
        plane = ControlPlane(store)

        async def fail() -> None:
            await enqueue(plane, retry=RetryPolicy(max_attempts=1))
            await finish(plane, Outcome.error("no disk"))
            await plane.deployments.create(DeploymentSpec(service_name="shop", version="1"))

        async def today(zone: str) -> tuple[int, int]:
            summary = await plane.dashboard.summary(tz=zone)
            return summary.failed_today, summary.deployments_today

        await fail()  # a second before midnight in Kolkata
        assert await today("Asia/Kolkata") == (1, 1)
        clock.advance(1)  # midnight in Kolkata
        assert await today("Asia/Kolkata") == (0, 0)
        assert await today("UTC") == (1, 1)
        await fail()
        assert await today("Asia/Kolkata") == (1, 1)
        assert await today("Asia/Kathmandu") == (2, 2)
        clock.advance(5.5 * 3600)  # midnight in London
        assert await today("UTC") == (0, 0)
        assert await today("Asia/Kolkata") == (1, 1)
        assert await today("America/New_York") == (2, 2)
        await fail()
        assert await today("UTC") == (1, 1)
        assert await today("Asia/Kolkata") == (2, 2)


async def test_what_was_cancelled_tried_again_or_released_has_not_failed(
    plane: ControlPlane,
) -> None:
    cancelled = await enqueue(plane)
    await plane.jobs.cancel(cancelled.job_id)
    await enqueue(plane)
    await finish(plane, Outcome.error("no disk"))
    await enqueue(plane)
    await plane.queue.release(await claim(plane))
    await enqueue(plane)
    await finish(plane)
    assert (await plane.dashboard.summary()).failed_today == 0


async def test_a_run_that_was_recorded_late_failed_on_the_day_when_it_failed(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    now = (await plane.dashboard.summary()).as_of
    for days in (0, 1):
        job = await plane.jobs.create(JobSpec(job_type="build"))
        at = now - timedelta(days=days)
        await plane.jobs.record_execution(
            job.job_id, Outcome.exited(1), started_at=at, completed_at=at
        )
    assert (await plane.dashboard.summary()).failed_today == 1


@pytest.mark.parametrize(
    ("moment", "zone", "midnight"),
    [
        # In Havana the clocks go back from 01:00 to 00:00: there are two midnights.
        (
            datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
            "America/Havana",
            datetime(2026, 11, 1, 4, tzinfo=UTC),
        ),
        # In Beirut they go forward at 00:00: the day begins at 01:00.
        (
            datetime(2026, 3, 29, 12, tzinfo=UTC),
            "Asia/Beirut",
            datetime(2026, 3, 28, 22, tzinfo=UTC),
        ),
        # In Zurich they have gone back since midnight: the day has 25 hours.
        (
            datetime(2026, 10, 25, 12, tzinfo=UTC),
            "Europe/Zurich",
            datetime(2026, 10, 24, 22, tzinfo=UTC),
        ),
    ],
)
async def test_a_day_on_which_the_clocks_change_begins_with_its_first_moment(
    store_url: str, moment: datetime, zone: str, midnight: datetime
) -> None:
    _, opening = opened_at(moment, store_url)
    async with opening as store:
        summary = await ControlPlane(store).dashboard.summary(tz=zone)
    assert summary.today_since == midnight


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", 7])
async def test_a_time_zone_that_is_none_is_refused(plane: ControlPlane, zone: Any) -> None:
    with pytest.raises(InvalidInput, match="IANA name") as refused:
        await plane.dashboard.summary(tz=zone)
    assert refused.value.field == "tz"


@pytest.fixture
def no_time_zones() -> Iterator[None]:
    """As in slim images: neither the system nor a package has them."""
    hidden = sys.modules.pop("tzdata", None)
    sys.modules["tzdata"] = cast("ModuleType", None)  # what makes an import fail
    zoneinfo.reset_tzpath(to=[])
    ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()
    del sys.modules["tzdata"]
    if hidden is not None:
        sys.modules["tzdata"] = hidden


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC"])
async def test_utc_needs_no_time_zone_database(
    plane: ControlPlane, no_time_zones: None, zone: str
) -> None:
    summary = await plane.dashboard.summary(tz=zone)
    assert summary.today_since.utcoffset() == timedelta(0)


async def test_a_missing_time_zone_database_is_named(
    plane: ControlPlane, no_time_zones: None
) -> None:
    with pytest.raises(InvalidInput, match="no time zone database: pip install tzdata"):
        await plane.dashboard.summary(tz="Europe/Zurich")
