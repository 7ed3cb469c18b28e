"""Commands over HTTP: they do, and say, what they do over a store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from cicd_core import ControlPlane, KeySpec
from cicd_core.http.server import TokenAccess
from tests.http.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.person import Person


@pytest.fixture
def far(person: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """A person who has a server and a key, and no store."""
    url = "memory://"
    with start_blocking_portal() as portal:
        opened = ControlPlane.open(url, maintenance=False)
        with portal.wrap_async_context_manager(opened) as plane:
            scopes = ["jobs:read", "jobs:write", "agents:read", "agents:admin", "events:read"]
            scopes += ["deployments:read", "deployments:write", "keys:admin", "queue:claim"]
            issued = portal.call(plane.keys.create, KeySpec(name="ada", scopes=scopes))
            access = TokenAccess(plane.keys, plane.sessions)
            with portal.wrap_async_context_manager(serving(plane, access)) as address:
                monkeypatch.delenv("CICD_STORE")
                monkeypatch.setenv("CICD_SERVER", address)
                monkeypatch.setenv("CICD_KEY", issued.token)
                yield person


def test_commands_do_over_a_server_what_they_do_over_a_store(far: Person) -> None:
    job_id = far.enqueues("build", "--tag", "nightly")
    assert [each["job_id"] for each in far.asks("jobs")["items"]] == [job_id]
    assert far.asks("job", job_id)["history"][0]["actor"] == "ada"
    assert far.asks("why", job_id)
    assert far.types("cancel", job_id).code == 0
    assert far.asks("job", job_id)["state"] == "cancelled"
    assert far.asks("stats")["depth"]["cancelled"] == 1
    made = far.asks("deployments", "create", "shop", "1.4.2")
    assert far.asks("deployments", "list")["items"] == [made]
    assert far.asks("summary")["deployments_today"] == 1
    assert far.asks("pools", "put", "linux", "--max", "3")["max_agents"] == 3
    key = far.asks("keys", "create", "ci", "--scope", "jobs:read")
    assert key["token"].startswith("cicd_")
    warned = far.types("enqueue", "build")
    assert (warned.code, "no agent of pool default is alive" in warned.err) == (0, True)
    assert far.asks("pools", "set", "linux", "--max", "4")["max_agents"] == 4
    assert far.types("stats", "--pool", "lnux").code == 3
    waited = far.types("enqueue", "build", "--key", "k1", "--json")
    far.types("cancel", waited.json["job_id"])
    ended = far.types("enqueue", "build", "--key", "k1", "--wait")
    assert (ended.code, "cancelled" in ended.err) == (1, True)
    assert far.asks("events", "--job", job_id, "--tail", "1")["items"][0]["type"] == "job.cancelled"
    events = far.types("events", "--json")
    assert events.code == 0
    assert "job.cancelled" in events.out
    assert "JOB" in far.types("jobs").out.upper()


def test_a_server_is_named_by_the_option_too(far: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    address = os.environ["CICD_SERVER"]
    monkeypatch.delenv("CICD_SERVER")
    for option in ("--server", "--store"):
        assert far.asks("jobs", option, address)["items"] == []
    monkeypatch.delenv("CICD_KEY")
    refused = far.types("jobs", "--server", address, "--json")
    assert refused.error["error"] == "NotAuthenticated"
    missing = far.types("audit", "--server", address)
    assert missing.code == 2
