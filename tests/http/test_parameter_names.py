"""Each parameter that is refused is named as its caller wrote it, on every route."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest
from msgspec import structs

from cicd_core import ControlPlane, JobSpec
from cicd_core.control_plane.job_logs import JobLogService
from cicd_core.http.server.app import ROUTES
from cicd_core.job_logs import FileLogStore
from tests.http.in_process import calling, problem_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx2

    from cicd_core.http.server.routing import Route

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

#: Values of which each parameter takes none: not its type, out of its bounds, or no name.
WRONG: Final = ("no such value!", "-1", "99999999999999999999", "", "x" * 3000)
#: Parts of paths that the server makes: a wrong one names nothing, which is answered 404.
MADE_BY_THE_SERVER: Final = {"key_id", "session_id", "user_id"}

READING: Final = [route for route in ROUTES if not route.has_body]
QUERIES: Final = [(route, each.name) for route in READING for each in structs.fields(route.takes)]
#: Those whose body may be empty.
PATHS: Final = [
    (route, name)
    for route in ROUTES
    for name in re.findall(r"\{(\w+)\}", route.path)
    if name not in MADE_BY_THE_SERVER
    and not route.takes_bytes
    and not (route.has_body and any(each.required for each in structs.fields(route.takes)))
]


def said(cases: list[tuple[Route, str]]) -> list[str]:
    return [f"{route.method} {route.path} {name}" for route, name in cases]


@pytest.fixture
async def http(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    logs = JobLogService(plane, FileLogStore(tmp_path))
    await plane.queue.enqueue(JobSpec(job_type="build"))
    (claimed,) = await plane.queue.claim(agent_id="x-1", start=True)
    await logs.append(claimed, 0, b"a line\n")
    async with calling(plane, job_logs=logs) as client:
        client.headers["x-job"] = claimed.job.job_id
        session = await plane.sessions.create("ada")
        client.headers["authorization"] = f"Bearer {session.token}"
        yield client


def address(http: httpx2.AsyncClient, route: Route, **names: str) -> str:
    known = {"job_id": http.headers["x-job"], **names}
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "x-1"), route.path)


@pytest.mark.parametrize(("route", "name"), QUERIES, ids=said(QUERIES))
async def test_a_wrong_parameter_of_a_query_is_named(
    http: httpx2.AsyncClient, route: Route, name: str
) -> None:
    refused = 0
    for value in WRONG:
        answer = await http.request(
            route.method, address(http, route), params={name: value, **_required(route, name)}
        )
        if answer.status_code in {413, 422}:
            assert _names(problem_of(answer)["field"], name), value
            refused += 1
    assert refused > 0


@pytest.mark.parametrize(("route", "name"), PATHS, ids=said(PATHS))
async def test_a_wrong_name_in_a_path_is_named(
    http: httpx2.AsyncClient, route: Route, name: str
) -> None:
    path = address(http, route, **{name: quote("no name!", safe="")})
    answer = await http.request(route.method, path, params=_required(route, ""))
    assert answer.status_code == 422, answer.text
    assert problem_of(answer)["field"] == name


@pytest.mark.parametrize("route", READING, ids=[f"{each.method} {each.path}" for each in READING])
async def test_an_unknown_parameter_is_named(http: httpx2.AsyncClient, route: Route) -> None:
    answer = await http.request(route.method, address(http, route), params={"limits": "1"})
    assert (answer.status_code, problem_of(answer)["field"]) == (422, "limits")


def _required(route: Route, wrong: str) -> dict[str, str]:
    fields = structs.fields(route.takes)
    return {each.name: "x-1" for each in fields if each.required and each.name != wrong}


def _names(field: str, name: str) -> bool:
    """Return whether an error is about a parameter, or about one of the names that it lists."""
    return field == name or field.startswith(f"{name}[")
