"""Pages of other origins, and proxies: neither is believed unless it is named."""

from __future__ import annotations

import re

import pytest

from cicd_core import ControlPlane, InvalidInput, KeySpec
from cicd_core.http.server import Listening, TokenAccess, create_app
from tests.http.in_process import calling

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

OURS, OTHER = "https://ci.example.org", "https://evil.example"
ASKED = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, if-match, lease-token, range",
}


async def test_only_pages_of_named_origins_may_call_with_a_token() -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        issued = await plane.keys.create(KeySpec(name="ci", scopes=["jobs:read"]))
        token = {"authorization": f"Bearer {issued.token}"}
        access = TokenAccess(plane.keys, plane.sessions)
        path = "/api/queue/jobs"
        async with calling(plane, auth=access, allowed_origins=[OURS]) as http:
            asked = await http.options(path, headers=ASKED | {"origin": OURS})
            assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, OURS)
            assert "POST" in asked.headers["access-control-allow-methods"]
            assert "access-control-allow-credentials" not in asked.headers
            refused = await http.options(path, headers=ASKED | {"origin": OTHER})
            assert "access-control-allow-origin" not in refused.headers
            read = await http.get(path, headers=token | {"origin": OURS})
            assert read.headers["access-control-allow-origin"] == OURS
            shown = {*read.headers["access-control-expose-headers"].split(", ")}
            assert {"etag", "location", "content-range", "Log-Attempt", "Log-Complete"} <= shown
            read = await http.get(path, headers=token | {"origin": OTHER})
            assert "access-control-allow-origin" not in read.headers
        async with calling(plane, auth=access) as http:
            asked = await http.options(path, headers=ASKED | {"origin": OURS})
            assert asked.status_code == 405
            assert "access-control-allow-origin" not in asked.headers


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "ci.example.org",
        "https://ci.example.org/",
        "ftp://x",
        "https://a:b",
        "https://",
    ],
)
async def test_what_is_no_origin_is_refused(origin: str) -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        with pytest.raises(InvalidInput, match=f"allowed_origins: {re.escape(repr(origin))}"):
            create_app(plane, allowed_origins=[origin])


@pytest.mark.parametrize("proxy", ["*", "proxy.example.org", "10.0.0.1/8", ""])
def test_what_is_no_address_of_a_proxy_is_refused(proxy: str) -> None:
    with pytest.raises(InvalidInput, match="trusted_proxies"):
        Listening(trusted_proxies=(proxy,))
