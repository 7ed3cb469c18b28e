"""The application as a function of AWS Lambda, called with events as API Gateway writes them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import anyio
import pytest

from cicd_core import ControlPlane, KeySpec, Scope
from cicd_core.errors import InvalidInput, UnknownScheme
from cicd_core.http.server import lambda_handler
from cicd_core.http.server.lambda_handler import Gateway, handle, opened_gateway
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOBS = "/api/queue/jobs"


def event(method: str, path: str, body: object = None, **more: Any) -> dict[str, Any]:
    """Return a request as an HTTP API hands it on (payload format 2.0)."""
    query = urlencode(more.pop("query", {}))
    headers = {
        "accept": "*/*",
        "content-length": "0" if body is None else str(len(json.dumps(body))),
        "host": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
        "user-agent": "curl/8.5.0",
        "x-amzn-trace-id": "Root=1-656a0b1f-1f2e3d4c5b6a79880a1b2c3d",
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
        **({} if body is None else {"content-type": "application/json"}),
        **more.pop("headers", {}),
    }
    told: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "a1b2c3d4e5",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "PQ5SjhZyjoEEJ_A=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Dec/2026:02:30:00 +0000",
            "timeEpoch": 1796092200000,
        },
        "isBase64Encoded": False,
        **more,
    }
    return told if body is None else {**told, "body": json.dumps(body)}


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The token of a key with every scope; the function's store is a file."""
    url = f"sqlite:///{tmp_path / 'ci.db'}?synchronous=normal"

    async def issue() -> str:
        async with ControlPlane.open(url, maintenance=False) as plane:
            issued = await plane.keys.create(KeySpec(name="ann", scopes=list(Scope)))
            return issued.token

    monkeypatch.setenv("CICD_STORE", url)
    made = anyio.run(issue)
    opened: list[Gateway] = []

    class Noted(Gateway):
        def __init__(self, url: str) -> None:
            super().__init__(url)
            opened.append(self)

    monkeypatch.setattr(lambda_handler, "Gateway", Noted)
    opened_gateway.cache_clear()
    yield made
    opened_gateway.cache_clear()
    assert len(opened) <= 1  # it stays open between the calls
    for gateway in opened:
        gateway.close()


def called(token: str, method: str, path: str, body: object = None, **more: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}", **more.pop("headers", {})}
    return handle(event(method, path, body, headers=headers, **more), None)


def test_a_job_goes_through_its_life_by_events_of_api_gateway(token: str) -> None:
    made = called(token, "POST", JOBS, {"job_type": "build", "payload": {"ref": "main"}})
    assert made["statusCode"] == 201
    job = json.loads(made["body"])
    assert made["headers"]["location"] == f"{JOBS}/{job['job_id']}"
    assert (made["isBase64Encoded"], made["headers"]["content-type"]) == (False, "application/json")
    claim = {"agent_id": "a-1", "start": True, "wait": 3600}
    (claimed,) = json.loads(called(token, "POST", "/api/queue/claim", claim)["body"])["claims"]
    body = {"token": claimed["token"], "outcome": {"verdict": "success", "exit_code": 0}}
    path = f"{JOBS}/{job['job_id']}"
    assert called(token, "PATCH", f"{path}/complete", body)["statusCode"] == 200
    found = called(token, "GET", JOBS, query={"status": "success", "limit": "5"})
    assert [each["state"] for each in json.loads(found["body"])["items"]] == ["success"]


def test_a_body_in_base64_is_a_body(token: str) -> None:
    body = json.dumps({"job_type": "build"}).encode()
    request = event("POST", JOBS, headers={"authorization": f"Bearer {token}"})
    request["headers"] |= {"content-type": "application/json", "content-length": str(len(body))}
    request |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    assert handle(request, None)["statusCode"] == 201


@pytest.mark.parametrize("pool", ["linux", "team/linux", "team/why/linux"])
@pytest.mark.parametrize("has_raw_path", [True, False])
@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_a_name_with_slashes_is_found_in_a_path_that_was_decoded_or_not(
    token: str, pool: str, has_raw_path: bool, slash: str
) -> None:
    made = called(token, "PUT", f"/api/agents/pools/{pool.replace('/', '%2F')}", {})
    assert (made["statusCode"], json.loads(made["body"])["pool_name"]) == (200, pool)
    path = f"/api/agents/pools/{pool.replace('/', slash)}/scaling"
    request = event("GET", path, headers={"authorization": f"Bearer {token}"})
    if not has_raw_path:
        del request["rawPath"]
    answer = handle(request, None)
    assert (answer["statusCode"], json.loads(answer["body"])["pool_name"]) == (200, pool)


@pytest.mark.parametrize("path", ["/api/nothing/here", "/api/agents/pools//scaling", "/", "//"])
def test_a_path_without_a_route_is_not_found(token: str, path: str) -> None:
    assert called(token, "GET", path)["statusCode"] == 404


def test_callers_without_a_key_are_refused_and_a_cookie_is_taken(token: str) -> None:
    refused = handle(event("GET", JOBS), None)
    assert (refused["statusCode"], refused["headers"]["www-authenticate"]) == (401, "Bearer")
    assert json.loads(refused["body"])["type"] == "urn:cicd-core:problem:not-authenticated"
    opened = called(token, "POST", "/auth/session", {"user_id": "ada", "cookie": True})
    (cookie,) = opened["cookies"]
    own = event("GET", "/auth/sessions/own", cookies=[cookie.partition(";")[0]])
    page = json.loads(handle(own, None)["body"])
    assert [each["user_id"] for each in page["items"]] == ["ada"]


def test_no_request_waits_longer_than_api_gateway_and_none_streams(token: str) -> None:
    assert lambda_handler.LIMITS.max_wait_seconds < 30  # what API Gateway gives a request
    refused = called(token, "GET", "/api/events/stream")
    assert refused["statusCode"] == 429
    read = called(token, "GET", "/api/events")
    assert read["statusCode"] == 200


PROGRAM = """
import json, sys
from cicd_core.http.server.lambda_handler import handle
print(handle(json.load(sys.stdin), None)["statusCode"], flush=True)
"""


@pytest.mark.parametrize("store", ["sqlite:///{folder}/ci.db", "memory://"])
def test_a_process_that_handled_a_request_ends(tmp_path: Path, store: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(event("GET", "/health")),
        env={**os.environ, "CICD_STORE": store.format(folder=tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("200\n", "")


def test_a_store_that_is_not_named_or_unknown_is_refused_at_each_call(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CICD_STORE")
    with pytest.raises(InvalidInput, match="name the store"):
        handle(event("GET", "/health"), None)
    monkeypatch.setenv("CICD_STORE", "nothing://here")
    for _ in range(2):
        with pytest.raises(UnknownScheme):
            handle(event("GET", "/health"), None)
    monkeypatch.setenv("CICD_STORE", "memory://")
    assert handle(event("GET", "/health"), None)["statusCode"] == 200
