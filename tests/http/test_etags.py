"""Pools have tags, and a change may name the one that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ChangedMeanwhile, ControlPlane, PoolSpec
from tests.http.in_process import calling, problem_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.http.client import RemoteControlPlane

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

PATH = "/api/agents/pools/linux"


async def test_a_change_with_a_stale_tag_is_refused_and_changes_nothing() -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane, calling(plane) as http:
        missing = await http.put(PATH, json={}, headers={"if-match": "*"})
        assert (missing.status_code, problem_of(missing)["type"]) == (412, "changed-meanwhile")
        first = (await http.put(PATH, json={"max_agents": 3})).headers["etag"]
        assert (await http.get(PATH)).headers["etag"] == first
        scaled = await http.post(
            f"{PATH}/scale", json={"target_agents": 2}, headers={"if-match": first}
        )
        assert scaled.status_code == 200
        second = scaled.headers["etag"]
        assert second != first
        for body, path in (({"max_agents": 9}, PATH), ({"target_agents": 1}, f"{PATH}/scale")):
            method = "PUT" if path == PATH else "POST"
            stale = await http.request(method, path, json=body, headers={"if-match": first})
            assert (stale.status_code, problem_of(stale)["kind"]) == (412, "pool")
        assert (await http.get(PATH)).headers["etag"] == second
        for tags in (f"{first}, {second}", "*"):
            taken = await http.put(PATH, json={"max_agents": 4}, headers={"if-match": tags})
            assert taken.status_code == 200


@pytest.mark.parametrize("header", ["if-match", "if-none-match", "if-unmodified-since"])
async def test_a_condition_that_a_route_does_not_check_is_refused_and_changes_nothing(
    header: str,
) -> None:
    conditions = {header: "*"}
    async with ControlPlane.open("memory://", maintenance=False) as plane, calling(plane) as http:
        pool = await plane.pools.put(PoolSpec(pool_name="linux"))
        changes: list[tuple[str, str, Any]] = [
            ("DELETE", PATH, None),
            ("POST", "/api/queue/jobs", {"job_type": "build"}),
        ]
        if header != "if-match":
            changes.append(("PUT", PATH, {"max_agents": 9}))
        for method, path, body in changes:
            refused = await http.request(method, path, json=body, headers=conditions)
            assert (refused.status_code, problem_of(refused)["field"]) == (422, header)
        assert await plane.pools.get("linux") == pool
        assert (await plane.jobs.list()).items == ()
        assert (await http.get(PATH, headers=conditions)).status_code == 200


async def test_a_pool_that_was_read_over_http_may_be_expected(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    read = await remote.pools.put(PoolSpec(pool_name="linux", max_agents=3))
    await plane.pools.scale("linux", 2)
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: remote.pools.put(PoolSpec(pool_name="linux"), expected=read),
        lambda: remote.pools.scale("linux", 1, expected=read),
    ]
    for change in changes:
        with pytest.raises(ChangedMeanwhile, match="read it again"):
            await change()
    now = await remote.pools.get("linux")
    assert (await remote.pools.scale("linux", 3, expected=now)).target_agents == 3
