"""An empty store: a person sees what to do first, and no number of nothing."""

from __future__ import annotations

import re
import shlex
from html import unescape
from typing import TYPE_CHECKING

import pytest

from cicd_core import ControlPlane, JobSpec, KeySpec, Outcome, PoolSpec
from cicd_core.http.server import TokenAccess, create_app
from cicd_core.http.web.looks import NOTHING, shell_word
from tests.http.in_process import client_of
from tests.web.test_pages import send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

#: Every page that needs no entity.
PAGES = (
    "/ui/",
    "/ui/jobs",
    "/ui/queue",
    "/ui/dead-letters",
    "/ui/deployments",
    "/ui/agents",
    "/ui/events",
    "/ui/audit",
    "/ui/keys",
)


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane.open("memory://", maintenance=False) as opened:
        yield opened


@pytest.fixture
async def http(plane: ControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(create_app(plane, status_page=True)) as client:
        yield client


def commands_on(text: str) -> list[list[str]]:
    return [
        shlex.split(unescape(each)) for each in re.findall(r"<pre[^>]*>(cicd-core .*?)</pre>", text)
    ]


@pytest.mark.parametrize("address", ["/ui/", "/ui/jobs"])
async def test_an_empty_store_says_once_what_to_do_first(
    plane: ControlPlane, http: httpx2.AsyncClient, address: str
) -> None:
    text = (await http.get(address)).text
    assert text.count("No jobs yet") == 1
    assert "No jobs here" not in text
    server = "http://127.0.0.1"
    assert commands_on(text) == [
        ["cicd-core", "enqueue", "--server", server, "--", "echo", "hello"],
        ["cicd-core", "agent", "--server", server],
    ]
    assert "CICD_KEY" not in text
    await plane.queue.enqueue(JobSpec(job_type="build"))
    text = (await http.get(address)).text
    assert "No jobs yet" not in text
    assert commands_on(text) == []


async def test_the_first_commands_name_the_server_as_one_word(plane: ControlPlane) -> None:
    app = create_app(plane, status_page=True, auth=TokenAccess(plane.keys, plane.sessions))
    issued = await plane.keys.create(KeySpec(name="ada", scopes=["jobs:read", "deployments:read"]))
    async with client_of(app) as client:
        await send(client, "/log-in", key=issued.token)
        client.headers["authorization"] = f"Bearer {issued.token}"
        text = (await client.get("/ui/", headers={"host": "ci.example.org:8443"})).text
    assert {each[3] for each in commands_on(text)} == {"http://ci.example.org:8443"}
    assert "CICD_KEY" in text
    assert shlex.split(shell_word("http://a b;id'")) == ["http://a b;id'"]


async def test_no_page_of_an_empty_store_shows_a_number_of_nothing(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    await plane.pools.put(PoolSpec(pool_name="default"))
    for address in PAGES:
        text = (await http.get(address)).text
        plain = " ".join(re.sub(r"<[^>]+>", " ", unescape(text)).split())
        assert "at most 0" not in plain, address
        assert f"{NOTHING} in 24 h" not in plain, address
        assert f"average {NOTHING}" not in plain, address
        assert plain.count("here.") == 0, address


async def test_what_did_not_happen_yet_is_said_in_words(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    await plane.queue.enqueue(JobSpec(job_type="build"))
    overview, queue = [(await http.get(each)).text for each in ("/ui/", "/ui/queue")]
    assert overview.count("no job ended in 24 h") >= 2
    assert "no job claimed in 14 days" in overview
    assert "no job ended in 14 days" in overview
    assert "no job claimed in 24 h" in queue
    (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
    await plane.queue.complete(claimed, Outcome.exited(0))
    text = (await http.get("/ui/")).text
    assert "no job ended" not in text
    assert "last 24 hours, at most 1" in text


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/ui/jobs?pool_name=mac", "No job matches these filters."),
        ("/ui/agents?pool_name=mac", "No agent matches these filters."),
        ("/ui/agents", "No agent has registered yet."),
        ("/ui/deployments?service_name=x", "No deployment matches these filters."),
        ("/ui/deployments", "No deployment has been created yet."),
        ("/ui/events?types=job.*", "No event matches these filters."),
        ("/ui/audit?command=job.*", "No command matches these filters."),
        ("/ui/queue", "No jobs wait in this pool."),
    ],
)
async def test_an_empty_list_says_whether_its_filters_are_the_reason(
    http: httpx2.AsyncClient, address: str, said: str
) -> None:
    assert said in (await http.get(address)).text
