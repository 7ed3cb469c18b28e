"""Lists of pages: pools by name, page by page, and filters that are refused with what to give."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from cicd_core import AgentSpec, ControlPlane, JobSpec, PoolSpec
from cicd_core.http.server import TokenAccess, create_app
from cicd_core.model.event_types import EVENT_TYPES
from tests.http.in_process import client_of
from tests.web.test_pages import OWN, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane.open("memory://", maintenance=False) as opened:
        yield opened


@pytest.fixture
async def http(plane: ControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(create_app(plane, status_page=True)) as client:
        yield client


def pools_on(text: str) -> list[str]:
    return re.findall(r'<a id="p-([^"]+)"', text)


async def test_every_pool_is_on_some_page_by_its_name(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    names = [f"pool-{number:03d}" for number in range(60)]
    for name in reversed(names):
        await plane.pools.put(PoolSpec(pool_name=name))
    seen: list[str] = []
    address, text, pages = "/ui/agents", "", 0
    while address:
        text = (await http.get(address)).text
        seen += pools_on(text)
        pages += 1
        assert "of 60" in text
        link = re.search(r'id="pools-behind" href="([^"]+)"', text)
        address = unescape(link[1]) if link else ""
    assert (seen, pages) == (names, 3)
    assert "Pools 51 to 60 of 60" in text
    assert pools_on((await http.get("/ui/agents?pools=400")).text) == names[50:]
    one = (await http.get("/ui/agents?pool_name=pool-031")).text
    assert pools_on(one) == ["pool-031"]
    assert "Show all pools" in one


async def test_few_pools_need_no_pages(plane: ControlPlane, http: httpx2.AsyncClient) -> None:
    for number in range(13):
        await plane.pools.put(PoolSpec(pool_name=f"pool-{number:02d}"))
    text = (await http.get("/ui/agents")).text
    assert len(pools_on(text)) == 13
    assert "Pages of pools" not in text


async def test_a_pool_says_in_one_word_why_and_the_rest_on_demand(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    await plane.pools.put(PoolSpec(pool_name="busy", max_agents=2))
    await plane.pools.put(PoolSpec(pool_name="fixed", target_agents=3))
    await plane.pools.put(PoolSpec(pool_name="idle"))
    await plane.pools.put(PoolSpec(pool_name="least", min_agents=1))
    await plane.pools.put(PoolSpec(pool_name="works"))
    await plane.queue.enqueue_many([JobSpec(job_type="build", pool_name="busy")] * 5)
    await plane.queue.enqueue(JobSpec(job_type="build", pool_name="works"))
    text = (await http.get("/ui/agents")).text
    cells = re.findall(r'<summary id="because-open-(\w+)">([^<]+)</summary><p[^>]*>([^<]+)', text)
    assert {name: word for name, word, _ in cells} == {
        "busy": "maximum",
        "fixed": "set by hand",
        "idle": "no work",
        "least": "minimum",
        "works": "work",
    }
    outside = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    assert not re.findall(r">[^<]*(?:max_agents|min_agents|target_agents)[^<]*<", outside)
    reasons = {name: reason for name, _, reason in cells}
    assert "capped by max_agents 2" in reasons["busy"]


async def test_a_pool_without_settings_is_no_error(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    await plane.agents.register(AgentSpec(agent_id="a-1", pool_name="mac"))
    answer = await http.get("/ui/agents?pool_name=mac")
    assert answer.status_code == 200
    assert "The pool mac has no settings" in answer.text
    assert 'id="a-a-1"' in answer.text


@pytest.mark.parametrize("page", ["audit", "audit/export"])
async def test_a_command_that_no_event_has_is_refused_with_those_that_there_are(
    http: httpx2.AsyncClient, page: str
) -> None:
    answer = await http.get(f"/ui/{page}", params={"command": "cancel"})
    assert answer.status_code == 422
    text = unescape(answer.text)
    assert "command: 'cancel' was refused" in text
    assert [name for name in EVENT_TYPES if name not in text] == []
    near = unescape((await http.get(f"/ui/{page}", params={"command": "job.cancel"})).text)
    assert "job.cancelled" in near


@pytest.mark.parametrize(
    ("address", "name"),
    [("/ui/audit?command=job.c*", "job.c*"), ("/ui/events?types=*.created", "*.created")],
)
async def test_a_filter_of_the_address_is_the_one_that_the_form_shows(
    plane: ControlPlane, http: httpx2.AsyncClient, address: str, name: str
) -> None:
    await plane.queue.enqueue(JobSpec(job_type="build"))
    assert f"<option selected>{name}</option>" in (await http.get(address)).text


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/ui/jobs?status=flying", "status"),
        ("/ui/jobs?pool_name=a+b", "pool_name"),
        ("/ui/jobs?job_type=a+b", "job_type"),
        ("/ui/jobs?agent_id=a+b", "agent_id"),
        (f"/ui/jobs?tag={'x' * 3000}", "tag"),
        (f"/ui/jobs?service={'x' * 3000}", "service"),
        ("/ui/jobs?id_prefix=a+b", "id_prefix"),
        (f"/ui/jobs?id_prefix={'!' * 26}", "id_prefix"),
        ("/ui/jobs?since=yesterday", "since"),
        ("/ui/jobs?until=9999-12-31T23:59:59-14:00", "until"),
        ("/ui/jobs?limit=0", "limit"),
        ("/ui/jobs?cursor=x", "cursor"),
        ("/ui/queue?pool_name=a+b", "pool_name"),
        ("/ui/deployments?service_name=a+b", "service_name"),
        ("/ui/deployments?status=flying", "status"),
        ("/ui/deployments?cursor=x", "cursor"),
        ("/ui/agents?pool_name=a+b", "pool_name"),
        ("/ui/agents?status=flying", "status"),
        ("/ui/agents?pools=0", "pools"),
        ("/ui/agents?cursor=x", "cursor"),
        ("/ui/events?types=x", "types"),
        ("/ui/events?cursor=x", "cursor"),
        ("/ui/audit?command=x", "command"),
        ("/ui/audit?cursor=x", "cursor"),
        ("/ui/audit/export?format=xml", "format"),
        (f"/ui/keys?user_id={'x' * 3000}", "user_id"),
        ("/ui/keys?cursor=x", "cursor"),
    ],
)
async def test_a_wrong_field_of_an_address_is_named(
    http: httpx2.AsyncClient, address: str, name: str
) -> None:
    answer = await http.get(address)
    assert answer.status_code in {413, 422}, answer.text
    said = re.search(r'role="alert">([^:<]+):', unescape(answer.text))
    assert said is not None
    assert said[1] == name


async def test_a_moment_with_a_zone_stands_in_the_form_in_utc(http: httpx2.AsyncClient) -> None:
    text = (await http.get("/ui/jobs", params={"since": "2026-01-01T01:30+02:00"})).text
    assert 'name="since" value="2025-12-31T23:30"' in text


@pytest.mark.parametrize(
    ("taken", "packed"),
    [
        ("gzip", True),
        ("br;q=1.0, gzip;q=0.5", True),
        ("GZIP ; q=1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("x-gzip-like", False),
        ("", False),
    ],
)
async def test_a_page_is_packed_for_who_takes_that(
    http: httpx2.AsyncClient, taken: str, packed: bool
) -> None:
    answer = await http.get("/ui/", headers={"accept-encoding": taken})
    assert ("content-encoding" in answer.headers) is packed
    assert "Overview" in answer.text


async def test_a_form_whose_session_has_ended_leads_back_to_its_page_by_the_log_in(
    plane: ControlPlane,
) -> None:
    access = TokenAccess(plane.keys, plane.sessions)
    async with client_of(create_app(plane, status_page=True, auth=access)) as client:
        origin = {"referer": "http://127.0.0.1/ui/jobs?status=queued"}
        answer = await send(client, "/do/jobs/cancel", {**OWN, **origin}, job="x")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/ui/log-in?back=%2Fui%2Fjobs%3Fstatus%3Dqueued"
        origin = {"referer": "https://evil.example.org/"}
        answer = await send(client, "/do/jobs/cancel", {**OWN, **origin}, job="x")
        assert answer.headers["location"] == "/ui/log-in?back=%2Fui%2F"


async def test_an_address_with_a_slash_behind_it_leads_to_its_page(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.get("/ui/jobs/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/jobs")
    for address in ("/ui/nothing", "/ui/log-in"):
        answer = await http.get(address)
        assert answer.status_code == 404
        assert "expired" not in answer.text


async def test_many_fields_of_metadata_are_folded(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    metadata = {f"name-{number:03d}": f"value-{number:03d}" for number in range(500)}
    tags = tuple(f"tag-{number}" for number in range(16))
    job = await plane.queue.enqueue(JobSpec(job_type="build", metadata=metadata, tags=tags))
    text = (await http.get(f"/ui/jobs/{job.job_id}")).text
    seen = re.sub(r"<details.*?</details>", "", text, flags=re.DOTALL)
    assert seen.count("<dt>name-") == 24
    assert text.count("<dt>name-") == 500
    assert "476 more" in text
    assert text.count('class="tag"') == 16
