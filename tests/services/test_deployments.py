"""Deployments through staging and production, over a store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    AlreadyExists,
    Deployment,
    DeploymentMetrics,
    DeploymentSpec,
    DeploymentStatus,
    IllegalTransition,
    InvalidCursor,
    InvalidInput,
    NotFound,
)
from cicd_core.model.instants import from_micros
from tests.services.scenes import story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core import ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

S = DeploymentStatus


async def make(plane: ControlPlane, service: str = "shop", **fields: Any) -> Deployment:
    spec = DeploymentSpec(service_name=service, version="1.4.2", **fields)
    return await plane.deployments.create(spec, actor="ann")


async def listed(plane: ControlPlane, **filters: Any) -> list[Deployment]:
    found: list[Deployment] = []
    cursor: str | None = None
    while True:
        page = await plane.deployments.list(cursor=cursor, **filters)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


async def test_a_deployment_goes_live_and_is_rolled_back(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    made = await make(plane, build_job_id="b-1")
    key = made.deployment_id
    steps: list[Callable[[], Awaitable[Deployment]]] = [
        lambda: plane.deployments.begin_staging(key, staging_job_id="s-1", actor="ann"),
        lambda: plane.deployments.record_staging(key, succeeded=True, actor="ann"),
        lambda: plane.deployments.begin_production(key, production_job_id="p-1", actor="ann"),
        lambda: plane.deployments.record_production(key, succeeded=True, actor="ann"),
        lambda: plane.deployments.roll_back(key, reason="slow", target="1.4.1", actor="bob"),
    ]
    passed = [made.status]
    for take in steps:
        clock.advance(60)
        after = await take()
        assert await take() == after, "the same step again is a no-op"
        assert await plane.deployments.get(key) == after
        passed.append(after.status)
    assert passed == [
        S.PENDING,
        S.STAGING,
        S.STAGED,
        S.PRODUCTION,
        S.LIVE,
        S.ROLLED_BACK,
    ]
    after = await plane.deployments.get(key)
    assert (after.build_job_id, after.staging_job_id) == ("b-1", "s-1")
    assert (after.production_job_id, after.rollback_target) == ("p-1", "1.4.1")
    assert after.live_at is not None
    assert after.live_at - after.created_at == timedelta(minutes=4)
    told = await story(plane, key)
    assert len(told) == len(steps) + 1
    assert [event.version for event in told] == list(range(told[0].version, told[-1].version + 1))


async def test_a_stage_fails_with_its_reason(plane: ControlPlane) -> None:
    key = (await make(plane)).deployment_id
    failed = await plane.deployments.record_staging(
        key, succeeded=False, error_message="no disk", staging_job_id="s-1"
    )
    assert (failed.status, failed.failed_stage) == (S.FAILED, S.STAGING)
    assert (failed.error_message, failed.staging_job_id) == ("no disk", "s-1")
    with pytest.raises(IllegalTransition) as refused:
        await plane.deployments.begin_production(key)
    assert (refused.value.kind, refused.value.state) == ("deployment", "failed")
    assert await plane.deployments.get(key) == failed


async def test_a_deployment_fails_in_production_and_is_rolled_back(plane: ControlPlane) -> None:
    key = (await make(plane)).deployment_id
    await plane.deployments.record_staging(key, succeeded=True)
    await plane.deployments.begin_production(key)
    await plane.deployments.record_production(key, succeeded=False, error_message="5xx")
    assert (await plane.deployments.roll_back(key, reason="5xx")).status is S.ROLLED_BACK


async def test_an_operator_fails_what_hangs(plane: ControlPlane) -> None:
    key = (await make(plane)).deployment_id
    assert (await plane.deployments.fail(key, error_message="gave up")).status is S.FAILED


async def test_figures_are_kept_of_what_has_traffic(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    key = (await make(plane)).deployment_id
    figures = DeploymentMetrics(error_rate=0.01, latency_ms=120, requests_per_second=50)
    with pytest.raises(IllegalTransition, match="have traffic"):
        await plane.deployments.record_metrics(key, figures)
    await plane.deployments.record_staging(key, succeeded=True)
    await plane.deployments.begin_production(key)
    clock.advance(5)
    measured = (await plane.deployments.record_metrics(key, figures)).metrics
    assert measured is not None
    assert (measured.error_rate, measured.recorded_at) == (0.01, from_micros(clock.micros()))


async def test_a_name_of_ones_own_makes_a_repetition_recognisable(plane: ControlPlane) -> None:
    spec = DeploymentSpec(service_name="shop", version="1")
    made = await plane.deployments.create(spec, deployment_id="shop-17")
    assert made.deployment_id == "shop-17"
    staging = await plane.deployments.begin_staging("shop-17")
    assert await plane.deployments.create(spec, deployment_id="shop-17") == staging
    for other in (
        DeploymentSpec(service_name="shop", version="2"),
        DeploymentSpec(service_name="shop", version="1", metadata={"a": "b"}),
    ):
        with pytest.raises(AlreadyExists, match="choose another id, or give that spec") as refused:
            await plane.deployments.create(other, deployment_id="shop-17")
        assert (refused.value.kind, refused.value.key) == ("deployment", "shop-17")
    with pytest.raises(InvalidInput) as empty:
        await plane.deployments.create(spec, deployment_id="")
    assert empty.value.field == "deployment_id"


async def test_two_who_decide_at_once_do_not_both_get_their_way(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    key = (await make(plane)).deployment_id
    await plane.deployments.record_staging(key, succeeded=True)
    await plane.deployments.begin_production(key)
    refused: list[IllegalTransition] = []

    async def record(through: ControlPlane, succeeded: bool) -> None:
        try:
            await through.deployments.record_production(key, succeeded=succeeded)
        except IllegalTransition as late:
            refused.append(late)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(record, plane, True)
        tasks.start_soon(record, other_plane, False)
    assert len(refused) == 1
    assert (await plane.deployments.get(key)).status in {S.LIVE, S.FAILED}
    assert len(await story(plane, key)) == 5


async def test_deployments_are_listed_by_service_status_and_time(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    made: list[Deployment] = []
    for service in ("shop", "blog", "shop", "blog"):
        made.append(await make(plane, service))
        clock.advance(1)
    staged = await plane.deployments.record_staging(made[2].deployment_id, succeeded=True)
    newest = [made[3], staged, made[1], made[0]]
    for limit in (1, 3, 500):
        assert await listed(plane, limit=limit) == newest
        assert await listed(plane, limit=limit, service_name="shop") == [staged, made[0]]
        assert await listed(plane, limit=limit, status="pending") == [made[3], made[1], made[0]]
        assert await listed(plane, limit=limit, service_name="shop", status=S.STAGED) == [staged]
        since = made[1].created_at
        assert await listed(plane, limit=limit, since=since) == newest[:3]
        assert await listed(plane, limit=limit, until=since, service_name="shop") == [made[0]]
    assert await listed(plane, service_name="nobody") == []


async def test_a_cursor_of_another_list_is_refused(plane: ControlPlane) -> None:
    for _ in range(2):
        await make(plane)
    cursor = (await plane.deployments.list(limit=1)).cursor
    with pytest.raises(InvalidCursor):
        await plane.deployments.list(cursor=cursor, service_name="shop")


@pytest.mark.parametrize(
    ("field", "filters"),
    [
        ("status", {"status": "gone"}),
        ("service_name", {"service_name": "no good"}),
        ("limit", {"limit": 0}),
    ],
)
async def test_a_filter_that_is_none_is_refused(
    plane: ControlPlane, field: str, filters: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await plane.deployments.list(**filters)
    assert refused.value.field == field


async def test_a_deployment_that_is_not_there_is_not_found(plane: ControlPlane) -> None:
    with pytest.raises(NotFound) as refused:
        await plane.deployments.begin_staging("nobody")
    assert (refused.value.kind, refused.value.key) == ("deployment", "nobody")
    with pytest.raises(InvalidInput):
        await plane.deployments.get("no good")


async def test_what_is_live_is_kept_and_what_has_ended_is_forgotten_in_the_end(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    live = (await make(plane)).deployment_id
    await plane.deployments.record_staging(live, succeeded=True)
    await plane.deployments.begin_production(live)
    await plane.deployments.record_production(live, succeeded=True)
    failed = (await make(plane)).deployment_id
    clock.advance(3600)
    await plane.deployments.fail(failed, error_message="gave up")
    clock.advance(plane.settings.deployment_retention_seconds - 1)
    assert {each.deployment_id for each in await listed(plane)} == {live, failed}
    clock.advance(1)
    assert [each.deployment_id for each in await listed(plane)] == [live]
    with pytest.raises(NotFound):
        await plane.deployments.get(failed)


async def test_a_deployment_that_a_command_can_still_change_is_never_dropped(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    waiting, staged, failed = [(await make(plane)).deployment_id for _ in range(3)]
    await plane.deployments.record_staging(staged, succeeded=True)
    await plane.deployments.record_staging(failed, succeeded=True)
    await plane.deployments.begin_production(failed)
    await plane.deployments.record_production(failed, succeeded=False, error_message="")
    clock.advance(2 * plane.settings.deployment_retention_seconds)
    assert (await plane.deployments.get(waiting)).status is DeploymentStatus.PENDING
    assert (await plane.deployments.begin_production(staged)).production_started_at is not None
    await plane.deployments.roll_back(failed, reason="it broke")
    clock.advance(plane.settings.deployment_retention_seconds)
    with pytest.raises(NotFound):
        await plane.deployments.get(failed)
