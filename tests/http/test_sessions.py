"""Sessions of people: who may open one, and what a browser's cookie may do."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane, KeySpec, NotPermitted, Principal, Scope, SessionRejected
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.server import TokenAccess
from cicd_core.http.server.session_access import COOKIE
from tests.http.in_process import calling, problem_of
from tests.http.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx2

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

JSON = {"content-type": "application/json"}
SAME_SITE = {"sec-fetch-site": "same-origin"}
JOBS = "/api/queue/jobs"


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane.open("memory://", maintenance=False) as opened:
        yield opened


@pytest.fixture
async def http(plane: ControlPlane) -> AsyncIterator[httpx2.AsyncClient]:
    async with calling(plane, auth=TokenAccess(plane.keys, plane.sessions)) as client:
        yield client


async def key(plane: ControlPlane, *scopes: str) -> dict[str, str]:
    issued = await plane.keys.create(KeySpec(name="portal", scopes=scopes))
    return {"authorization": f"Bearer {issued.token}"}


async def session(http: httpx2.AsyncClient, plane: ControlPlane, **body: Any) -> dict[str, Any]:
    """Open a session of ada as the service does that logs her in."""
    portal = await key(plane, "sessions:create", "jobs:read", "jobs:write")
    opened = await http.post("/auth/session", json={"user_id": "ada", **body}, headers=portal)
    assert opened.status_code == 201, opened.text
    http.cookies.clear()
    said: dict[str, Any] = {**opened.json(), "set-cookie": opened.headers.get("set-cookie")}
    return said


async def test_a_session_is_opened_by_a_service_that_may_and_never_by_a_name(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    body = {"user_id": "ada"}
    assert (await http.post("/auth/session", json=body)).status_code == 401
    refused = await http.post("/auth/session", json=body, headers=await key(plane, "jobs:read"))
    assert (refused.status_code, problem_of(refused)["type"]) == (403, "not-permitted")
    opened = await session(http, plane, metadata={"ip": "192.0.2.1"})
    assert opened["session"]["user_id"] == "ada"
    assert opened["session"]["metadata"] == {"ip": "192.0.2.1", "scopes": "jobs:read"}
    assert opened["set-cookie"] is None
    assert opened["token"] not in str(opened["session"])
    bearer = {"authorization": f"Bearer {opened['token']}"}
    assert (await http.get(JOBS, headers=bearer)).status_code == 200
    refused = await http.post(JOBS, json={"job_type": "build"}, headers=bearer)
    assert (refused.status_code, problem_of(refused)["type"]) == (403, "not-permitted")


async def test_a_session_allows_no_more_than_the_key_that_opened_it(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    portal = await key(plane, "sessions:create", "jobs:write")
    for body, status, place in (
        ({"scopes": ["keys:admin"]}, 403, "keys:admin"),
        ({"scopes": ["jobs:fly"]}, 422, "jobs:fly"),
        ({"metadata": {"scopes": "keys:admin"}}, 422, "metadata.scopes"),
        ({"oauth_tokens": {}}, 422, "oauth_tokens"),
        ({"user_id": ""}, 422, "user_id"),
    ):
        sent = {"user_id": "ada", **body}
        refused = await http.post("/auth/session", json=sent, headers=portal)
        assert refused.status_code == status
        assert place in refused.text
    opened = await session(http, plane, scopes=["jobs:write"])
    bearer = {"authorization": f"Bearer {opened['token']}"}
    made = await http.post(JOBS, json={"job_type": "build"}, headers=bearer)
    assert {step["actor"] for step in made.json()["history"]} == {"ada"}
    assert (await http.get(JOBS, headers=bearer)).status_code == 403


async def test_the_cookie_is_for_this_host_over_https_and_for_no_script(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    opened = await session(http, plane, cookie=True, ttl_seconds=600, scopes=["jobs:write"])
    (cookie,) = SimpleCookie(opened["set-cookie"]).values()
    assert (cookie.key, cookie.value) == (COOKIE, opened["token"])
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == ("/", "", "600")


OWN = {"origin": "http://127.0.0.1"}
CALLS = [
    (JSON | SAME_SITE, 201),
    (JSON | OWN, 201),
    (JSON, 403),
    (SAME_SITE, 403),
    (SAME_SITE | {"content-type": "text/plain"}, 403),
    (JSON | {"sec-fetch-site": "same-site"}, 403),
    (JSON | {"sec-fetch-site": "cross-site"} | OWN, 403),
    (JSON | {"sec-fetch-site": "none"}, 403),
    (JSON | {"origin": "https://127.0.0.1"}, 403),
    (JSON | {"origin": "http://127.0.0.1.evil.example"}, 403),
    (JSON | {"origin": "null"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), CALLS)
async def test_a_cookie_changes_something_only_from_a_page_of_this_server(
    http: httpx2.AsyncClient, plane: ControlPlane, headers: dict[str, str], status: int
) -> None:
    opened = await session(http, plane, scopes=["jobs:write", "jobs:read"])
    cookie = {"cookie": f"{COOKIE}={opened['token']}"}
    answer = await http.post(JOBS, content=b'{"job_type": "build"}', headers=headers | cookie)
    assert answer.status_code == status, answer.text
    assert len((await plane.jobs.list()).items) == (status == 201)
    logged_out = await http.post("/auth/logout", content=b"{}", headers=headers | cookie)
    assert logged_out.status_code in ({200} if status == 201 else {403, 415})
    read = await http.get(JOBS, headers=cookie)
    assert read.status_code == (401 if status == 201 else 200)


async def test_a_session_is_validated_and_logged_out_by_its_token(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    opened = await session(http, plane)
    token = {"token": opened["token"]}
    found = (await http.post("/auth/validate", json=token)).json()
    assert (found["valid"], found["user_id"]) == (True, "ada")
    assert found["expires_at"] == opened["session"]["expires_at"]
    bearer = {"authorization": f"Bearer {opened['token']}"}
    assert (await http.post("/auth/validate", json={}, headers=bearer)).json() == found
    cookie = {"cookie": f"{COOKIE}={opened['token']}"} | SAME_SITE
    ended = await http.post("/auth/logout", json={}, headers=cookie)
    assert ended.json() == {"status": "logged out"}
    assert f"{COOKIE}=" in ended.headers["set-cookie"]
    assert "Max-Age=0" in ended.headers["set-cookie"]
    again = await http.post("/auth/logout", json=token)
    assert (again.json(), again.headers.get("set-cookie")) == ({"status": "logged out"}, None)
    found = (await http.post("/auth/validate", json=token)).json()
    assert (found["valid"], found["session"]) == (False, None)
    assert (await http.get(JOBS, headers=bearer)).status_code == 401
    nothing = await http.post("/auth/validate", json={}, headers=SAME_SITE)
    assert nothing.json()["valid"] is False


@pytest.mark.parametrize("before", ["\xa0", "\x85", "\x0c", "x"])
async def test_a_cookie_of_nearly_that_name_is_another_one(
    http: httpx2.AsyncClient, plane: ControlPlane, before: str
) -> None:
    token = (await plane.sessions.create("eve")).token
    planted = {b"cookie": f"a=b; {before}{COOKIE}={token}".encode("latin-1")}
    assert (await http.get(JOBS, headers=planted)).status_code == 401


async def test_a_cookie_that_is_there_twice_opens_nothing(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    tokens = [(await plane.sessions.create(name)).token for name in ("ada", "eve")]
    cookie = {"cookie": "; ".join(f"{COOKIE}={token}" for token in tokens)}
    refused = await http.get(JOBS, headers=cookie)
    assert (refused.status_code, tokens[0] in refused.text) == (401, False)
    assert "appears 2 times" in problem_of(refused)["detail"]
    own = await http.post("/auth/rotate", json={}, headers=cookie | SAME_SITE)
    assert own.status_code == 401
    ended = await http.post("/auth/logout", json={"token": tokens[0]}, headers=cookie)
    assert "Max-Age=0" in ended.headers["set-cookie"]


async def test_a_session_is_rotated_where_its_token_is(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    opened = await session(http, plane, scopes=["jobs:read"])
    by_cookie = {"cookie": f"{COOKIE}={opened['token']}"} | SAME_SITE
    second = await http.post("/auth/rotate", json={}, headers=by_cookie)
    http.cookies.clear()
    assert f"{COOKIE}={second.json()['token']};" in second.headers["set-cookie"]
    assert second.json()["session"]["metadata"] == {"scopes": "jobs:read"}
    foreign = {"cookie": f"{COOKIE}={second.json()['token']}"}
    assert (await http.post("/auth/rotate", json={}, headers=foreign)).status_code == 403
    bearer = {"authorization": f"Bearer {second.json()['token']}"}
    third = await http.post("/auth/rotate", json={}, headers=bearer)
    assert (third.status_code, third.headers.get("set-cookie")) == (201, None)
    for token, status in ((opened["token"], 401), (third.json()["token"], 200)):
        read = await http.get(JOBS, headers={"authorization": f"Bearer {token}"})
        assert read.status_code == status
    gone = await http.post("/auth/rotate", json={"token": opened["token"]})
    assert (gone.status_code, problem_of(gone)["type"]) == (401, "session-rejected")


async def test_sessions_are_listed_and_ended_by_who_may_open_them(
    http: httpx2.AsyncClient, plane: ControlPlane
) -> None:
    portal = await key(plane, "sessions:create")
    tokens = [(await session(http, plane))["token"] for _ in range(3)]
    page = (await http.get("/auth/sessions?user_id=ada", headers=portal)).json()
    assert len(page["items"]) == 3
    assert not any(token in str(page) for token in tokens)
    first = page["items"][0]["session_id"]
    gone = await http.delete(f"/auth/sessions/{first}", headers=portal)
    assert gone.status_code == 204
    ended = await http.post("/auth/users/ada/logout", headers=portal)
    assert ended.json() == {"ended": 2}
    for token in tokens:
        with pytest.raises(SessionRejected):
            await plane.sessions.validate(token)
    wrong = await http.delete("/auth/sessions/not-a-hash", headers=portal)
    assert "not-a-hash" not in wrong.text


async def test_sessions_and_keys_over_http_are_those_of_the_store(plane: ControlPlane) -> None:
    root = await plane.keys.create(KeySpec(name="root", scopes=["keys:admin", "sessions:create"]))
    access = TokenAccess(plane.keys, plane.sessions)
    async with serving(plane, access) as url, RemoteControlPlane(url, root.token) as remote:
        opened = await remote.sessions.create("ada", idle_seconds=60, metadata={"ip": "x"})
        assert set(opened.session.metadata) == {"ip", "scopes"}  # less than reading: none
        assert await remote.sessions.validate(opened.token) == opened.session
        assert (await remote.sessions.list("ada")).items == (opened.session,)
        await remote.sessions.log_out(opened.token)
        await remote.sessions.log_out(None)
        await remote.sessions.log_out("\ud800")
        for token in (opened.token, None, "\ud800"):
            with pytest.raises(SessionRejected):
                await remote.sessions.validate(token)
            with pytest.raises(SessionRejected):
                await remote.sessions.rotate(token)
        other = await remote.sessions.rotate((await remote.sessions.create("ada")).token)
        await remote.sessions.revoke(other.session.session_id)
        await remote.sessions.create("ada")
        assert await remote.sessions.log_out_everywhere("ada") == 1

        made = await remote.keys.create(KeySpec(name="ci", scopes=["keys:admin"], ttl_seconds=60))
        near = await plane.keys.get(made.key.key_id)
        assert (made.key.created_by, made.key.expires_at) == ("root", near.expires_at)
        assert (await remote.keys.authenticate(made.token)).name == "ci"
        lesser = Principal(name="lesser", scopes=frozenset({Scope.JOBS_READ}))
        for refused in (
            remote.keys.create(KeySpec(name="x", scopes=["jobs:read"]), granted_by=lesser),
            remote.keys.replace(made.key.key_id, granted_by=lesser),
        ):
            with pytest.raises(NotPermitted, match="keys:admin"):
                await refused
        newer = await remote.keys.replace(made.key.key_id, overlap_seconds=0)
        ended = await remote.keys.revoke(newer.key.key_id, reason="leaked")
        assert (ended.revoked_by, ended.name) == ("root", "ci")
        assert await remote.keys.get(ended.key_id) == ended
        names = [each.name for each in (await remote.keys.list(limit=2)).items]
        assert names == ["ci", "ci"]


async def test_a_user_lists_their_own_sessions_and_no_others(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    issued = [await plane.sessions.create(user_id) for user_id in ("ada", "ada", "bob")]
    own = {"authorization": f"Bearer {issued[0].token}"}
    first = await http.get("/auth/sessions/own", params={"limit": "1"}, headers=own)
    rest = await http.get(first.links["next"]["url"], headers=own)
    found = [each["session_id"] for page in (first, rest) for each in page.json()["items"]]
    assert sorted(found) == sorted(each.session.session_id for each in issued[:2])
    in_cookie = {"cookie": f"{COOKIE}={issued[2].token}"}
    page = (await http.get("/auth/sessions/own", headers=in_cookie)).json()
    assert [each["user_id"] for each in page["items"]] == ["bob"]
    refused = problem_of(await http.get("/auth/sessions", params={"user_id": "ada"}, headers=own))
    assert refused["status"] == 403


async def test_a_key_and_a_session_that_ended_list_no_sessions_of_their_own(
    plane: ControlPlane, http: httpx2.AsyncClient
) -> None:
    key = await plane.keys.create(KeySpec(name="portal", scopes=list(Scope)))
    ended = await plane.sessions.create("ada")
    await plane.sessions.log_out(ended.token)
    for token in (key.token, ended.token):
        answer = await http.get("/auth/sessions/own", headers={"authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (await http.get("/auth/sessions/own")).status_code == 401
