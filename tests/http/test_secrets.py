"""After a whole run, no token stands in a log, an error, a URL, an event or another answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane, KeySpec
from cicd_core.http.server import Scope, TokenAccess
from cicd_core.http.server.app import ROUTES
from tests.http.in_process import calling

if TYPE_CHECKING:
    import httpx2

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


class Listener:
    """Calls the server, and keeps all that it says and all that was asked but the secrets."""

    def __init__(self, http: httpx2.AsyncClient, token: str) -> None:
        self.secrets = {"root": token}
        self.heard: list[str] = []
        self._http = http
        self._token = token

    async def call(self, method: str, path: str, body: Any = None, **secrets: str) -> Any:
        """Call; the members of the answer that are named hold a secret, here and nowhere else."""
        headers = {"authorization": f"Bearer {self._token}"}
        answer = await self._http.request(method, path, json=body, headers=headers)
        said: Any = None if answer.status_code == 204 else answer.json()
        text = f"{answer.request.url} {answer.status_code} {answer.headers} {answer.text}"
        for name, place in secrets.items():
            secret: Any = said
            for part in place.split("."):
                secret = secret[int(part) if part.isdecimal() else part]
            self.secrets[name] = secret
            assert text.count(secret) == 1, name
            text = text.replace(secret, "")
        self.heard.append(text)
        return said


async def test_no_token_stands_where_others_may_read_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        root = await plane.keys.create(KeySpec(name="root", scopes=list(Scope)))
        access = TokenAccess(plane.keys, plane.sessions)
        async with calling(plane, auth=access) as http:
            listener = Listener(http, root.token)
            call = listener.call
            agent = {"agent_id": "a-1"}
            key = await call("POST", "/api/keys", {"name": "ci", **agent}, key="token")
            opened = await call("POST", "/auth/session", {"user_id": "ada"}, session="token")
            await call("POST", "/api/agents/register", agent, incarnation="incarnation")
            job = await call("POST", "/api/queue/jobs", {"job_type": "build"})
            claim = {**agent, "start": True}
            place = "claims.0.token.claim_id"
            claims = await call("POST", "/api/queue/claim", claim, claim=place)
            held = {"token": claims["claims"][0]["token"]}
            at = f"/api/queue/jobs/{job['job_id']}"
            stranger = {"token": {**held["token"], "fence": 1}}
            await call("PATCH", f"{at}/progress", {**held, "percent": 50})
            await call("PATCH", f"{at}/progress", {**stranger, "percent": 60})
            await call("PATCH", f"{at}/complete", {**held, "outcome": {"verdict": "odd"}})
            await call("PATCH", f"{at}/complete", {**held, "outcome": {"verdict": "success"}})
            beat = {"incarnation": listener.secrets["incarnation"], "running": -1}
            await call("POST", "/api/agents/a-1/heartbeat", beat)
            for path in ("/api/keys/authenticate", "/auth/validate", "/auth/logout"):
                for name in ("key", "session"):
                    await call("POST", path, {"token": listener.secrets[name]})
                    await call("POST", path, {"token": f"{listener.secrets[name]}x"})
            ids = {
                "job_id": job["job_id"],
                "agent_id": "a-1",
                "key_id": key["key"]["key_id"],
                "session_id": opened["session"]["session_id"],
            }
            for route in ROUTES:
                is_read = route.method == "GET" and route.media_type == "application/json"
                if is_read and not route.path.endswith(("/wait", "openapi.json")):
                    await call("GET", route.path.format_map(Named(ids)))
            await call("GET", "/auth/sessions?user_id=ada")
            await call("GET", "/api/events?format=event&limit=1000")
    assert set(listener.secrets) == {"root", "key", "session", "incarnation", "claim"}
    everything = "\n".join([*listener.heard, caplog.text])
    assert len(listener.heard) > 50
    for name, secret in listener.secrets.items():
        found = everything.find(secret.removeprefix("cicd_")[-32:])
        assert found < 0, f"{name}: {everything[max(0, found - 300) : found]}"


class Named(dict[str, str]):
    """Names for the parts of paths: those that there are, or one that there is not."""

    def __missing__(self, name: str) -> str:
        return "default"
