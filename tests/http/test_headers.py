"""Headers of requests: each once, none ignored that its caller relies on, and all of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane, KeySpec
from cicd_core.http.server import TokenAccess
from cicd_core.http.server.app import ROUTES
from tests.http.in_process import calling, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

JOBS = "/api/queue/jobs"
JOB: dict[str, Any] = {"job_type": "build"}


@pytest.fixture
async def inside(plane: ControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    async with calling(plane, status_page=True) as client:
        yield client


@pytest.mark.parametrize(
    "name", ["idempotency-key", "lease-token", "range", "last-event-id", "content-encoding"]
)
async def test_a_header_with_one_value_is_refused_when_it_is_there_twice(
    plane: ControlPlane, inside: httpx2.AsyncClient, name: str
) -> None:
    refused = await inside.post(JOBS, json=JOB, headers=[(name, "a"), (name.title(), "b")])
    assert (refused.status_code, problem_of(refused)["field"]) == (422, name)
    assert (await plane.jobs.list()).items == ()


async def test_two_credentials_open_nothing(plane: ControlPlane) -> None:
    token = (await plane.keys.create(KeySpec(name="ci", scopes=["jobs:read"]))).token
    shown = ("authorization", f"Bearer {token}")
    async with calling(plane, auth=TokenAccess(plane.keys, plane.sessions)) as client:
        assert (await client.get(JOBS, headers=[shown])).status_code == 200
        refused = await client.get(JOBS, headers=[shown, ("authorization", "Bearer x")])
    assert (refused.status_code, problem_of(refused)["field"]) == (422, "authorization")
    assert token not in refused.text


async def test_an_idempotency_key_is_taken_or_refused_where_something_is_made(
    plane: ControlPlane, inside: httpx2.AsyncClient
) -> None:
    makers = [route for route in ROUTES if route.status == 201]
    assert {route.takes_key for route in makers} == {True, False}
    for route in makers:
        if not route.takes_key:
            refused = await inside.post(route.path, json={}, headers={"idempotency-key": "k"})
            assert (refused.status_code, problem_of(refused)["field"]) == (422, "idempotency-key")
    batch = {"jobs": [JOB]}
    await inside.post(f"{JOBS}/batch", json=batch, headers={"idempotency-key": "k"})
    assert (await plane.jobs.list()).items == ()


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/ui/jobs", "PUT", "GET, HEAD"),
        ("/ui/log-in", "OPTIONS", "GET, HEAD, POST"),
        ("/ui/do/jobs/cancel", "GET", "POST"),
        (JOBS, "PUT", "GET, HEAD, POST"),
    ],
)
async def test_a_method_that_an_address_has_not_is_answered_with_those_that_it_has(
    inside: httpx2.AsyncClient, path: str, method: str, allowed: str
) -> None:
    refused = await inside.request(method, path)
    assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
