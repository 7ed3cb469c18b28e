"""How often a stream checks its caller, and its end when the caller has lost its right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest

from cicd_core import ControlPlane, KeySpec, NotAuthenticated
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.server import BearerAccess, TokenAccess, event_routes, stream_watch
from cicd_core.keys import service
from tests.http.serving import serving
from tests.http.test_events import exhaust, stream
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from cicd_core.model.principal import Principal

pytestmark = pytest.mark.anyio


def test_a_stream_sees_a_revocation_within_five_seconds() -> None:
    assert stream_watch.LOOK_SECONDS + service.BELIEVED_SECONDS <= 5.0
    assert stream_watch.LOOK_SECONDS + stream_watch.SESSION_SECONDS <= 5.0


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stream look at its caller with a key often, and say often that it is alive."""
    for module in (stream_watch, event_routes):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(stream_watch, "ALIVE_SECONDS", 0.01)


class CountingAccess(TokenAccess):
    """Counts how often callers are checked."""

    checks = 0

    async def principal(self, connection: HTTPConnection) -> Principal:
        self.checks += 1
        return await super().principal(connection)


@pytest.mark.asyncio_only
@pytest.mark.usefixtures("quick_looks")
async def test_a_quiet_stream_of_a_session_does_not_read_the_session_at_each_look(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = CountingAccess(plane.keys, plane.sessions)
    issued = await plane.keys.create(KeySpec(name="ci", scopes=["events:read"]))
    opened = await access.log_in(issued.token, metadata={})
    async with serving(plane, access) as url:

        async def checks_of_a_stream(token: str) -> int:
            before, headers = access.checks, {"authorization": f"Bearer {token}"}
            async with (
                httpx2.AsyncClient(base_url=url, trust_env=False, timeout=PATIENCE) as http,
                stream(http, **headers) as messages,
            ):
                for _ in range(20):
                    await anext(messages)
            return access.checks - before

        assert await checks_of_a_stream(issued.token) > 10
        monkeypatch.setattr(stream_watch, "SESSION_SECONDS", 10 * PATIENCE)
        assert await checks_of_a_stream(opened.token) == 1


@pytest.mark.asyncio_only
@pytest.mark.usefixtures("quick_looks")
async def test_a_stream_ends_when_its_session_has_ended(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_watch, "SESSION_SECONDS", 0.01)
    opened = await plane.sessions.create("ann")
    async with (
        serving(plane, TokenAccess(plane.keys, plane.sessions)) as url,
        RemoteControlPlane(url, opened.token) as remote,
    ):
        events = remote.events.follow()
        with anyio.fail_after(PATIENCE):
            await anext(events)
            await plane.sessions.log_out(opened.token)
            with pytest.raises(NotAuthenticated, match="logged out"):
                await exhaust(events)


@pytest.mark.asyncio_only
@pytest.mark.usefixtures("quick_looks")
async def test_a_stream_ends_when_its_key_is_revoked(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BELIEVED_SECONDS", 0.0)
    issued = await plane.keys.create(KeySpec(name="ci", scopes=["events:read"]))
    async with (
        serving(plane, BearerAccess(plane.keys)) as url,
        RemoteControlPlane(url, issued.token) as remote,
    ):
        events = remote.events.follow()
        with anyio.fail_after(PATIENCE):
            await anext(events)
            await plane.keys.revoke(issued.key.key_id)
            with pytest.raises(NotAuthenticated, match="revoked"):
                await exhaust(events)
