"""The description of the API is whole, and the page that shows it needs nothing from outside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from cicd_core import ControlPlane
from cicd_core.http.server.app import ROUTES
from tests.http.in_process import calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx2

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        ControlPlane.open("memory://", maintenance=False) as plane,
        calling(plane) as client,
    ):
        yield client


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, each in part.items():
            if name == "$ref":
                yield each
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


async def test_every_route_is_described_with_what_it_takes_and_gives(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.get("/api/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    whole = answer.json()
    assert whole["openapi"] == "3.1.0"
    described = {
        (method.upper(), path) for path, methods in whole["paths"].items() for method in methods
    }
    assert described == {(route.method, route.path) for route in ROUTES}
    operations = [each for methods in whole["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    for each in operations:
        statuses = [status for status in each["responses"] if status.startswith("2")]
        has_content = any("content" in each["responses"][status] for status in statuses)
        assert has_content or statuses == ["204"], each["operationId"]
        assert each["summary"].endswith("."), each["operationId"]
    schemas = whole["components"]["schemas"]
    assert {each.rpartition("/")[2] for each in references(whole)} <= set(schemas)
    for name, schema in schemas.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema, name


async def test_answers_are_as_described(http: httpx2.AsyncClient) -> None:
    whole = (await http.get("/api/openapi.json")).json()
    job = (await http.post("/api/queue/jobs", json={"job_type": "build"})).json()
    claimed = await http.post("/api/queue/claim", json={"agent_id": "a-1", "start": True})
    assert claimed.json()["claims"][0]["token"]
    for method, path, answer in (
        ("get", "/api/queue/jobs/{job_id}", await http.get(f"/api/queue/jobs/{job['job_id']}")),
        ("post", "/api/queue/claim", claimed),
        ("get", "/api/queue/jobs", await http.get("/api/queue/jobs")),
        ("get", "/api/queue/stats", await http.get("/api/queue/stats")),
        ("get", "/api/dashboard/summary", await http.get("/api/dashboard/summary")),
        ("get", "/api/dashboard/overview", await http.get("/api/dashboard/overview")),
        ("get", "/api/events", await http.get("/api/events")),
        ("get", "/health/ready", await http.get("/health/ready")),
    ):
        said = whole["paths"][path][method]["responses"][str(answer.status_code)]
        schema = said["content"]["application/json"]["schema"]
        checker = jsonschema.Draft202012Validator(
            {**schema, "components": whole["components"]},
            format_checker=jsonschema.FormatChecker(),
        )
        checker.validate(answer.json())


async def test_the_page_of_the_api_is_made_of_files_of_the_package(
    http: httpx2.AsyncClient,
) -> None:
    page = await http.get("/api/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert linked == ["docs/docs.css", "docs/docs.js", "openapi.json"]
    for path in linked:
        answer = await http.get(f"/api/{path}")
        assert answer.status_code == 200, path
        assert "https://" not in answer.text or path == "openapi.json"
