"""What the server answers: every page, who may see it, and what a form may do."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from cicd_core import (
    AgentMetrics,
    AgentSpec,
    ControlPlane,
    GitContext,
    JobSpec,
    KeySpec,
    PoolSpec,
    Principal,
    Priority,
    Scope,
)
from cicd_core.control_plane.job_logs import JobLogService
from cicd_core.http.server import BearerAccess, TokenAccess, create_app
from cicd_core.http.server.session_access import COOKIE
from cicd_core.http.web.site import POLICY
from cicd_core.http.web.table import ACTIONS, PAGES
from cicd_core.job_logs import FileLogStore, LogLimits
from tests.http.in_process import client_of
from tests.web.scene import EVIL, Scene, addresses, set_up, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

OWN: Final = {"sec-fetch-site": "same-origin"}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        yield await set_up(plane)


@pytest.fixture
async def http(scene: Scene) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(create_app(scene.plane, status_page=True)) as client:
        yield client


@pytest.fixture
async def guarded(scene: Scene) -> AsyncIterator[httpx2.AsyncClient]:
    """A server that asks for keys; its client speaks HTTPS, as the cookie wants it."""
    access = TokenAccess(scene.plane.keys, scene.plane.sessions)
    app = create_app(scene.plane, status_page=True, auth=access)
    async with client_of(app) as client:
        client.base_url = httpx2.URL("https://ci.example.org")
        yield client


class _Elements(HTMLParser):
    """The elements of a page, and the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


async def test_every_page_shows_texts_as_texts_and_allows_no_other_script(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    shown = 0
    for name, address in addresses(scene).items():
        answer = await http.get(address)
        assert answer.status_code == 200, (name, answer.text)
        assert answer.headers["content-security-policy"] == POLICY
        for tag, attributes in _Elements(answer.text).found:
            assert not [each for each in attributes if each.startswith("on") or each == "style"]
            if tag == "script":
                assert (attributes["src"] or "").startswith("/ui/assets/page.js?v=")
            assert tag != "style"
            assert tag != "img" or attributes["src"] != "x"
        shown += answer.text.count("&lt;script&gt;")
        assert EVIL not in answer.text
    assert shown > 50


async def test_the_address_of_the_server_leads_to_the_first_page(http: httpx2.AsyncClient) -> None:
    for address in ("/", "/ui"):
        answer = await http.get(address)
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")


async def test_without_the_page_the_server_has_the_api_alone(scene: Scene) -> None:
    async with client_of(create_app(scene.plane)) as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.get("/ui/")).status_code == 404


@pytest.mark.parametrize("address", ["/ui/nothing", "/ui/jobs/nothing", "/ui/assets/other.js"])
async def test_what_is_not_there_is_said_in_a_page(http: httpx2.AsyncClient, address: str) -> None:
    answer = await http.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-security-policy"] == POLICY


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=queued", 2),
        ("status=failed", 1),
        ("pool_name=linux", 7),
        ("pool_name=other", 0),
        ("job_type=build&agent_id=builder-1", 5),
        ("service=shop", 7),
        ("service=other", 0),
        ("tag=nightly", 7),
        ("since=2020-01-01T00:00", 7),
        ("until=2020-01-01T00:00", 0),
        ("limit=3", 3),
    ],
)
async def test_filters_of_jobs_stand_in_the_address(
    http: httpx2.AsyncClient, query: str, found: int
) -> None:
    answer = await http.get(f"/ui/jobs?{query}")
    assert answer.text.count('<th scope="row">') == found


async def test_a_job_is_found_by_its_id_and_by_the_beginning_of_it(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    job_id = scene.queued.job_id
    for prefix, found in ((job_id, 1), (job_id[:25], 1), (job_id[:3], 7), ("0" * 26, 0)):
        answer = await http.get("/ui/jobs", params={"id_prefix": prefix})
        assert answer.text.count('<th scope="row">') == found, prefix


@pytest.mark.parametrize(
    "query", ["status=flying", "since=yesterday", "limit=0", "limit=x", "service=a&tag=b"]
)
async def test_a_wrong_filter_is_refused_with_what_to_give_instead(
    http: httpx2.AsyncClient, query: str
) -> None:
    answer = await http.get(f"/ui/jobs?{query}")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text


async def test_pages_of_jobs_follow_each_other(scene: Scene, http: httpx2.AsyncClient) -> None:
    seen: list[str] = []
    address = "/ui/jobs?limit=3"
    for _ in range(3):
        text = (await http.get(address)).text
        seen += re.findall(r'id="j-(\w+)"', text)
        link = re.search(r'id="turn-more" href="([^"]+)"', text)
        address = link[1].replace("&amp;", "&") if link else ""
    listed = await scene.plane.jobs.list()
    assert seen == [job.job_id for job in listed.items]
    assert address == ""


async def test_a_job_that_waits_says_why_and_how_many_are_ahead(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    text = (await http.get(f"/ui/jobs/{scene.queued.job_id}")).text
    assert "Why it waits" in text
    assert "1 job ahead of it" in text


async def test_the_queue_is_in_the_order_of_the_claims(http: httpx2.AsyncClient) -> None:
    text = (await http.get("/ui/queue?pool_name=linux")).text
    assert text.index("Goes first") < text.index("Waits")
    assert 'class="prio p0">critical' in text


async def test_dead_letters_are_grouped_by_their_error(http: httpx2.AsyncClient) -> None:
    text = (await http.get("/ui/dead-letters")).text
    assert text.count('<article class="group">') == 1
    assert "2 dead letters" in text
    assert "Replay 2" in text


async def test_the_end_of_a_log_is_text_with_colours_for_who_may_read_it(
    scene: Scene, tmp_path: Path
) -> None:
    logs = JobLogService(scene.plane, FileLogStore(tmp_path, LogLimits()))
    await scene.plane.queue.enqueue(spec("Talks", priority=Priority.CRITICAL))
    (claimed,) = await scene.plane.queue.claim(
        agent_id="builder-2", pool_name="linux", labels=("amd64",), start=True
    )
    lines = b"".join(b"line %d\n" % number for number in range(5_000))
    await logs.append(claimed, 0, lines + f"\x1b[31mred\x1b[0m {EVIL}\n".encode())
    address = f"/ui/jobs/{claimed.job.job_id}"
    async with client_of(create_app(scene.plane, status_page=True, job_logs=logs)) as client:
        text = (await client.get(address)).text
        assert '<span class="ansi-fg-1">red</span> &lt;script&gt;' in text
        assert EVIL not in text
        assert "line 4999\n" in text
        assert "line 4000\n" not in text
        assert "attempt 1, its end" in text
        assert f'href="/api/queue/jobs/{claimed.job.job_id}/log?attempt=1"' in text
        assert 'data-every="3"' in text
    access = TokenAccess(scene.plane.keys, scene.plane.sessions)
    app = create_app(scene.plane, status_page=True, auth=access, job_logs=logs)
    async with client_of(app) as client:
        client.base_url = httpx2.URL("https://ci.example.org")
        for scopes, shown in ((("jobs:read",), False), (("jobs:read", "logs:read"), True)):
            await log_in(client, scene.plane, *scopes)
            assert ("ansi-fg-1" in (await client.get(address)).text) is shown


# ---------------------------------------------------------------------------------------- forms


async def send(
    http: httpx2.AsyncClient, path: str, headers: dict[str, str] | None = None, **fields: Any
) -> httpx2.Response:
    body = urlencode(fields, doseq=True)
    form = {"content-type": "application/x-www-form-urlencoded"}
    return await http.post(
        f"/ui{path}", content=body, headers={**form, **(OWN if headers is None else headers)}
    )


async def test_chosen_jobs_are_cancelled_each_for_itself(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    jobs = [scene.queued.job_id, scene.failed.job_id]
    back = "/ui/jobs?status=queued"
    answer = await send(http, "/do/jobs/cancel", job=jobs, reason="not needed", back=back)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{back}&notice=cancelled&n=1&refused=1"
    page = await http.get(answer.headers["location"])
    assert "1 job cancelled, or asked to stop; 1 job refused" in page.text
    job = await scene.plane.jobs.get(scene.queued.job_id)
    assert (job.state, job.history[-1].actor, job.cancel_reason) == (
        "cancelled",
        "local",
        "not needed",
    )


async def test_each_form_gives_its_command(scene: Scene, http: httpx2.AsyncClient) -> None:
    plane = scene.plane
    dead, waits = scene.dead.job_id, scene.queued.job_id
    sent: dict[str, dict[str, Any]] = {
        "/do/jobs/replay": {"job": dead},
        "/do/jobs/priority": {"job": waits, "priority": "high"},
        "/do/agents/drain": {"agent": "builder-2", "reason": "update"},
        "/do/deployments/roll-back": {"deployment": scene.live.deployment_id, "reason": "slow"},
        "/do/deployments/fail": {"deployment": scene.staged.deployment_id, "reason": "broken"},
    }
    for path, fields in sent.items():
        answer = await send(http, path, **fields)
        assert answer.status_code == 303, (path, answer.text)
    assert (await plane.jobs.get(dead)).state == "queued"
    assert (await plane.jobs.get(waits)).priority.name == "HIGH"
    assert (await plane.agents.get("builder-2")).status in {"terminating", "terminated"}
    assert (await plane.deployments.get(scene.live.deployment_id)).status == "rolled_back"
    assert (await plane.deployments.get(scene.staged.deployment_id)).status == "failed"


async def test_a_refusal_is_a_page_that_leads_back(scene: Scene, http: httpx2.AsyncClient) -> None:
    job_id = scene.failed.job_id
    origin = {**OWN, "referer": f"http://127.0.0.1/ui/jobs/{job_id}"}
    refused = await send(http, "/do/jobs/replay", origin, job=job_id)
    assert refused.status_code == 409
    assert f'href="/ui/jobs/{job_id}"' in refused.text
    assert (await send(http, "/do/jobs/cancel")).status_code == 409
    assert (await send(http, "/do/jobs/priority", job=job_id)).status_code == 422


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/do/jobs/cancel", {"job": "no name!"}),
        ("/do/jobs/cancel", {"job": ["no name!", "nor this!"]}),
        ("/do/jobs/replay", {"job": "no name!"}),
        ("/do/jobs/priority", {"job": "no name!", "priority": "high"}),
        ("/do/agents/drain", {"agent": "no name!"}),
        ("/do/agents/resume", {"agent": "no name!"}),
        ("/do/deployments/roll-back", {"deployment": "no name!", "reason": "slow"}),
        ("/do/deployments/fail", {"deployment": "no name!", "reason": "broken"}),
        ("/do/keys/revoke", {"key": "no name!"}),
        ("/do/sessions/revoke", {"session": "no name!"}),
    ],
)
async def test_a_refused_field_has_the_name_that_it_has_in_the_form(
    http: httpx2.AsyncClient, path: str, fields: dict[str, Any]
) -> None:
    refused = await send(http, path, **fields)
    assert refused.status_code == 422
    assert f">{next(iter(fields))}: " in refused.text
    assert "_id" not in refused.text


@pytest.mark.parametrize("path", sorted(ACTIONS))
async def test_a_form_of_another_site_does_nothing(http: httpx2.AsyncClient, path: str) -> None:
    for headers in (
        {},
        {"origin": "https://evil.example.org"},
        {"origin": "http://127.0.0.1:1234"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ):
        refused = await send(http, path, headers, job="x")
        assert refused.status_code == 403, headers
    assert (await http.get(f"/ui{path}")).status_code == 405


async def test_what_is_no_form_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/ui/do/jobs/cancel", json={"job": "x"}, headers=OWN)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "back", ["https://evil.example.org/", "//evil.example.org/ui/", "/ui/\r\nx: y", "", "/api/"]
)
async def test_a_form_leads_back_to_pages_of_this_server_alone(
    scene: Scene, http: httpx2.AsyncClient, back: str
) -> None:
    answer = await send(http, "/do/jobs/cancel", job=scene.queued.job_id, back=back)
    assert answer.headers["location"] == "/ui/?notice=cancelled&n=1&refused=0"


async def test_a_notice_has_the_words_of_the_server(http: httpx2.AsyncClient) -> None:
    text = (await http.get("/ui/jobs?notice=you+won&n=1")).text
    assert "you won" not in text.replace("notice=you+won", "")
    assert 'class="note ok"' not in text


# --------------------------------------------------------------------------------------- access


async def log_in(http: httpx2.AsyncClient, plane: ControlPlane, *scopes: str) -> str:
    """Log in with a key of these scopes; return the key's id."""
    issued = await plane.keys.create(KeySpec(name="ada", scopes=scopes))
    answer = await send(http, "/log-in", key=f" {issued.token} ", back="/ui/jobs?limit=3")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/jobs?limit=3")
    assert "HttpOnly; Secure; SameSite=Lax" in answer.headers["set-cookie"]
    return issued.key.key_id


async def test_a_stranger_is_asked_to_log_in_and_comes_back(guarded: httpx2.AsyncClient) -> None:
    answer = await guarded.get("/ui/jobs?status=failed")
    assert answer.status_code == 303
    back = quote("/ui/jobs?status=failed", safe="")
    assert answer.headers["location"] == f"/ui/log-in?back={back}"
    form = await guarded.get(answer.headers["location"])
    assert 'value="/ui/jobs?status=failed"' in form.text
    assert (await guarded.get("/ui/jobs", headers={"x-page-fragment": "1"})).status_code == 401


async def test_a_person_who_may_read_is_offered_nothing_else(
    scene: Scene, guarded: httpx2.AsyncClient
) -> None:
    await log_in(guarded, scene.plane, "jobs:read", "deployments:read", "agents:read")
    for name, address in addresses(scene).items():
        answer = await guarded.get(address)
        if name in {"events", "events from the oldest", "audit", "keys"}:
            assert answer.status_code == 403, name
            continue
        assert answer.status_code == 200, name
        forms = re.findall(r'action="([^"]+)"', answer.text)
        assert not [each for each in forms if "/do/" in each], name
        assert "data-stream" not in answer.text
        labels = re.findall(r'<li><a href="/ui/([^"]*)"', answer.text)
        assert not {"events", "audit", "keys"} & {*labels}
    for path in ACTIONS:
        assert (await send(guarded, path, job=scene.queued.job_id)).status_code == 403
    assert (await guarded.get("/ui/audit/export")).status_code == 403


async def test_every_page_asks_for_its_scopes(scene: Scene, guarded: httpx2.AsyncClient) -> None:
    every = {scope for page in PAGES for scope in page.scopes}
    for page in PAGES:
        for scope in page.scopes:
            guarded.cookies.clear()
            await log_in(guarded, scene.plane, *(each for each in every if each is not scope))
            path = page.path.format(
                job_id=scene.queued.job_id,
                agent_id="builder-1",
                deployment_id=scene.live.deployment_id,
            )
            assert (await guarded.get(f"/ui{path}")).status_code == 403, (path, scope)


async def test_a_session_ends_with_its_key_and_by_logging_out(
    scene: Scene, guarded: httpx2.AsyncClient
) -> None:
    key_id = await log_in(guarded, scene.plane, "jobs:read", "jobs:write")
    assert (await guarded.get("/ui/jobs")).status_code == 200
    # The cookie opens the API as well, by the API's own rule.
    assert (await guarded.get("/api/queue/jobs")).status_code == 200
    cancelled = await send(guarded, "/do/jobs/cancel", job=scene.queued.job_id)
    assert cancelled.status_code == 303
    assert (await scene.plane.jobs.get(scene.queued.job_id)).history[-1].actor == "ada"
    await scene.plane.keys.revoke(key_id)
    assert (await guarded.get("/ui/jobs")).status_code == 303
    assert (await guarded.get("/api/queue/jobs")).status_code == 401
    await log_in(guarded, scene.plane, "jobs:read")
    token = guarded.cookies[COOKIE]
    assert (await send(guarded, "/log-out", {})).status_code == 403
    assert (await send(guarded, "/log-out")).status_code == 303
    guarded.cookies.set(COOKIE, token)
    assert (await guarded.get("/ui/jobs")).status_code == 303


async def test_what_is_no_key_of_a_person_opens_nothing(
    scene: Scene, guarded: httpx2.AsyncClient
) -> None:
    agent = await scene.plane.keys.create(KeySpec(name="far", agent_id="builder-1"))
    for key in ("", "cicd_x", agent.token, EVIL):
        answer = await send(guarded, "/log-in", key=key)
        assert answer.status_code == 403
        assert 'role="alert"' in answer.text
        assert "set-cookie" not in answer.headers
        assert not key or key not in answer.text
    assert (await send(guarded, "/log-in", {}, key=agent.token)).status_code == 403


async def test_a_session_can_not_name_its_key_by_itself(scene: Scene) -> None:
    access = TokenAccess(scene.plane.keys, scene.plane.sessions)
    portal = await scene.plane.keys.create(KeySpec(name="portal", scopes=("sessions:create",)))
    async with client_of(create_app(scene.plane, auth=access)) as client:
        body = {"user_id": "ada", "metadata": {"opened_with_key": "x"}}
        headers = {"authorization": f"Bearer {portal.token}"}
        refused = await client.post("/auth/session", json=body, headers=headers)
        assert refused.status_code == 422


async def test_a_server_without_keys_has_no_log_in(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/ui/log-in")).status_code == 404
    assert "Log out" not in (await http.get("/ui/")).text


async def test_an_access_of_ones_own_is_asked(scene: Scene) -> None:
    class OneKey:
        async def authenticate(self, token: str) -> Principal:
            return Principal(name=token, scopes=frozenset({Scope.JOBS_READ}))

    app = create_app(scene.plane, status_page=True, auth=BearerAccess(OneKey()))
    async with client_of(app) as client:
        assert (await client.get("/ui/jobs")).status_code == 401
        answer = await client.get("/ui/jobs", headers={"authorization": "Bearer ada"})
        assert answer.status_code == 200


# ---------------------------------------------------------------------------------- the address


async def test_every_address_of_a_page_begins_with_the_base_path(scene: Scene) -> None:
    app = Starlette(routes=[Mount("/team/ci", create_app(scene.plane, status_page=True))])
    async with client_of(app) as client:
        for address in addresses(scene).values():
            answer = await client.get(f"/team/ci{address}")
            assert answer.status_code == 200, address
            for tag, attributes in _Elements(answer.text).found:
                for name in ("href", "src", "action", "formaction", "data-stream"):
                    if (value := attributes.get(name)) is not None and value != "#main":
                        assert value.startswith("/team/ci/"), (tag, value)
        answer = await client.post(
            "/team/ci/ui/do/jobs/cancel",
            content=urlencode({"job": scene.queued.job_id, "back": "/team/ci/ui/jobs"}),
            headers={**OWN, "content-type": "application/x-www-form-urlencoded"},
        )
        assert answer.headers["location"].startswith("/team/ci/ui/jobs?notice=cancelled")


async def test_a_name_with_a_slash_has_a_page(scene: Scene, http: httpx2.AsyncClient) -> None:
    from cicd_core import AgentSpec  # noqa: PLC0415 - here alone

    await scene.plane.agents.register(AgentSpec(agent_id="rack/7", pool_name="linux"))
    assert "/ui/agents/rack%2F7" in (await http.get("/ui/agents")).text
    answer = await http.get("/ui/agents/rack%2F7")
    assert answer.status_code == 200
    assert "<h1>rack/7" in answer.text


# ------------------------------------------------------------------------------------- the audit


async def test_the_audit_says_who_did_what_and_why(scene: Scene, http: httpx2.AsyncClient) -> None:
    await send(http, "/do/jobs/cancel", job=scene.queued.job_id, reason="not needed")
    text = (await http.get("/ui/audit?actor=local&command=job.*")).text
    assert text.count('<th scope="row" class="keep">job.cancelled') == 1
    assert ">queued</span>" in text
    assert "not needed" in text


async def test_the_audit_is_exported_as_csv_and_json(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    await scene.plane.jobs.cancel(scene.queued.job_id, actor="=cmd()", reason="x\n,y")
    answer = await http.get("/ui/audit/export?format=csv&command=job.cancelled")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert row["subject"] == scene.queued.job_id
    assert (row["actor"], row["before"], row["after"]) == ("'=cmd()", "queued", "cancelled")
    assert row["reason"] == "x\n,y"
    whole = json.loads((await http.get("/ui/audit/export?format=json")).text)
    assert whole[-1]["actor"] == "=cmd()"
    assert {each["command"] for each in whole} >= {"job.created", "deployment.live", "key.created"}
    assert (await http.get("/ui/audit/export?format=json&actor=nothing")).json() == []
    assert (await http.get("/ui/audit/export?format=xml")).status_code == 422


async def test_events_are_shown_from_the_oldest_on(scene: Scene, http: httpx2.AsyncClient) -> None:
    await scene.plane.queue.enqueue_many([spec(f"Job {number}") for number in range(60)])
    seen: list[str] = []
    address = "/ui/events?cursor=oldest&types=job.created"
    while address:
        text = (await http.get(address)).text
        seen += re.findall(r'id="j-(\w+)"', text)
        link = re.search(r'id="turn-more" href="([^"]+)"', text)
        address = link[1].replace("&amp;", "&") if link else ""
    listed = await scene.plane.jobs.list(limit=100)
    assert sorted(seen) == sorted(job.job_id for job in listed.items)


@pytest.mark.parametrize("place", ["/ui/audit?actor=zoe&", "/ui/events?types=job.cancelled&"])
async def test_one_match_behind_many_events_is_on_the_first_page_from_the_oldest(
    scene: Scene, http: httpx2.AsyncClient, place: str
) -> None:
    await scene.plane.queue.enqueue_many([spec(f"Job {number}") for number in range(300)])
    await scene.plane.jobs.cancel(scene.queued.job_id, actor="zoe")
    text = (await http.get(f"{place}cursor=oldest")).text
    assert text.count('class="keep">job.cancelled') == 1


async def test_a_page_that_omits_older_events_says_so(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    note = "Only the newest 1,000 events"
    assert note not in (await http.get("/ui/audit?actor=zoe")).text
    await scene.plane.queue.enqueue_many([spec(f"Job {number}") for number in range(500)])
    for page in ("audit?actor=zoe", "events?subject=zoe"):
        assert note in (await http.get(f"/ui/{page}")).text


@pytest.mark.parametrize("referer", ["http://[", "http://[::1/ui/jobs", "//["])
async def test_a_referer_that_is_no_address_leads_back_to_the_first_page(
    http: httpx2.AsyncClient, referer: str
) -> None:
    answer = await http.get("/ui/nothing", headers={"referer": referer})
    assert answer.status_code == 404
    assert '<a href="/ui/">Go back</a>' in answer.text


async def test_a_wrong_priority_is_named_also_for_many_jobs(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    jobs = [scene.queued.job_id, scene.failed.job_id]
    answer = await send(http, "/do/jobs/priority", job=jobs, priority="urgent")
    assert answer.status_code == 422
    assert "urgent" in answer.text


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\n=", "\N{FULLWIDTH EQUALS SIGN}"])
async def test_no_cell_of_the_audit_is_a_formula(
    scene: Scene, http: httpx2.AsyncClient, begin: str
) -> None:
    await scene.plane.jobs.cancel(scene.queued.job_id, actor="ada", reason=f"{begin}1+1")
    answer = await http.get("/ui/audit/export?command=job.cancelled")
    (row,) = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert row["reason"] == f"'{begin}1+1"


async def test_pages_show_no_number_that_a_record_keeps_from_an_earlier_heartbeat(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    agents = scene.plane.agents
    made = await agents.register(AgentSpec(agent_id="late", pool_name="linux", slots=7))
    await agents.heartbeat(
        "late", made.incarnation, running=0, metrics=AgentMetrics(cpu_percent=31)
    )
    # The health stays, so this one renews the lease alone: the record keeps the values above.
    await agents.heartbeat(
        "late", made.incarnation, running=5, metrics=AgentMetrics(cpu_percent=62)
    )
    for page in ("/ui/", "/ui/agents"):
        text = (await http.get(page)).text
        assert "0/7" not in text
        assert "31 %" not in text
    page = (await http.get("/ui/agents/late")).text
    assert "<dt>Slots</dt><dd>7</dd>" in page
    assert '31 % <span class="dim">when its health last changed</span>' in page


@pytest.mark.parametrize(
    ("name", "message", "shown"),
    [
        ("  ", "\n\nfix the cart\n", "fix the cart"),
        ("\N{ZERO WIDTH SPACE}", "\r\n", "lint"),
        (" a\nb", "fix", "a"),
        ("", "fix\r\nmore", "fix"),
    ],
)
async def test_the_link_to_a_job_has_a_text_that_shows_something(
    scene: Scene, http: httpx2.AsyncClient, name: str, message: str, shown: str
) -> None:
    git = GitContext(repo="https://git.example.org/shop.git", commit_message=message)
    made = JobSpec(job_type="lint", metadata={"name": name}, git=git)
    job = await scene.plane.queue.enqueue(made)
    text = (await http.get("/ui/jobs?job_type=lint")).text
    assert f'href="/ui/jobs/{job.job_id}">{shown}</a>' in text


async def test_a_filter_ignores_the_spaces_around_it(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    answer = await http.get("/ui/jobs", params={"id_prefix": f" {scene.queued.job_id} "})
    assert answer.status_code == 200
    assert f'href="/ui/jobs/{scene.queued.job_id}"' in answer.text


async def test_the_queue_of_each_of_many_pools_can_be_asked_for(
    scene: Scene, http: httpx2.AsyncClient
) -> None:
    assert (
        '<select name="pool_name"><option selected>linux</option></select>'
        in (await http.get("/ui/queue")).text
    )
    for number in range(50):
        await scene.plane.pools.put(PoolSpec(pool_name=f"pool-{number}"))
    text = (await http.get("/ui/queue?pool_name=pool-7")).text
    assert '<input name="pool_name" value="pool-7"' in text
