"""Deployments and the summary, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from cicd_core import (
    AlreadyExists,
    ControlPlane,
    DeploymentMetrics,
    DeploymentSpec,
    DeploymentStatus,
    GitContext,
    IllegalTransition,
    InvalidInput,
    JobSpec,
    NotFound,
)

if TYPE_CHECKING:
    from cicd_core.http.client import RemoteControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

SPEC = DeploymentSpec(
    service_name="team/shop",
    version="1.4.2",
    environment="eu",
    git=GitContext(repo="https://example.org/shop.git", ref="main"),
    build_job_id="b-1",
    metadata={"ticket": "42"},
)


async def test_deployments_over_http_are_those_of_the_store(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    far = remote.deployments
    made = await far.create(SPEC, deployment_id="team/d-1")
    assert made == await plane.deployments.get("team/d-1")
    assert await far.create(SPEC, deployment_id="team/d-1") == made
    with pytest.raises(AlreadyExists):
        await far.create(DeploymentSpec(service_name="x", version="2"), deployment_id="team/d-1")
    with pytest.raises(IllegalTransition, match="production needs a staged deployment"):
        await far.begin_production("team/d-1")
    await far.begin_staging("team/d-1", staging_job_id="s-1")
    await far.record_staging("team/d-1", succeeded=True)
    await far.begin_production("team/d-1", production_job_id="p-1")
    await far.record_production("team/d-1", succeeded=True)
    figures = DeploymentMetrics(error_rate=0.5, recorded_at=datetime(2026, 1, 2, tzinfo=UTC))
    measured = await far.record_metrics("team/d-1", figures)
    assert measured.metrics == figures
    back = await far.roll_back("team/d-1", reason="slow", target="1.4.1")
    assert back == await plane.deployments.get("team/d-1")
    assert back.status is DeploymentStatus.ROLLED_BACK

    other = await far.create(DeploymentSpec(service_name="cart", version="1"))
    assert (await far.fail(other.deployment_id, error_message="gone")).error_message == "gone"
    page = await far.list(service_name="team/shop", since=datetime(2026, 1, 1, tzinfo=UTC))
    assert page.items == (back,)
    first = await far.list(limit=1)
    assert [first.items, (await far.list(limit=1, cursor=first.cursor)).items] == [
        (await plane.deployments.list()).items[:1],
        (back,),
    ]
    with pytest.raises(NotFound):
        await far.get("none")
    with pytest.raises(InvalidInput, match="succeeded"):
        await far.record_staging("team/d-1", succeeded="no")  # type: ignore[arg-type]  # refused


async def test_the_summary_over_http_is_that_of_the_store(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    await plane.queue.enqueue(JobSpec(job_type="build"))
    await plane.deployments.create(SPEC)
    near = await plane.dashboard.summary(tz="Europe/Zurich")
    for zone in ("Europe/Zurich", ZoneInfo("Europe/Zurich")):
        far = await remote.dashboard.summary(tz=zone)
        assert far.jobs_by_status == near.jobs_by_status
        assert far.recent_deployments == near.recent_deployments
        assert far.today_since == near.today_since
    assert (await remote.dashboard.summary()).deployments_today == 1
    with pytest.raises(InvalidInput, match="tz"):
        await remote.dashboard.summary(tz="Mars")
    with pytest.raises(InvalidInput, match="tz"):
        await remote.dashboard.summary(tz=timezone(timedelta(hours=2)))
