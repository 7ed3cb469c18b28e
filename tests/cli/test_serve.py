"""The server as a process, and an agent that reaches it."""

from __future__ import annotations

import signal
import ssl
from typing import TYPE_CHECKING

import httpx2
import pytest
import trustme

from tests.patience import PATIENCE

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.cli.person import Person


def url_of(server: subprocess.Popen[str]) -> str:
    """The line on stdout: there the server listens."""
    assert server.stdout is not None
    return server.stdout.readline().strip()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_agent_works_over_http_and_the_server_stops_in_good_order(
    person: Person, stop: signal.Signals
) -> None:
    server = person.starts("serve", "--port", "0")
    url = url_of(server)
    # What says that it is a proxy is not believed, and gets nothing without a key.
    elsewhere = {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "https"}
    assert (
        httpx2.get(f"{url}/api/queue/jobs", headers=elsewhere, trust_env=False).status_code == 403
    )
    job_id = person.enqueues("--shell", "echo hello; exit 3")
    environment = {"CICD_SERVER": url, "CICD_STORE": "sqlite:///nowhere/ci.db"}
    agent = person.types("agent", "--until-idle", "--agent-id", "far", **environment)
    assert agent.code == 0, agent.err
    job = person.asks("job", job_id)
    assert (job["state"], job["exit_code"], job["agent_id"]) == ("failed", 3, "far")
    server.send_signal(stop)
    ended = person.awaits(server)
    assert ended.code == 0, ended.err
    assert "callers need no key" in ended.err


def test_a_server_under_nohup_outlives_its_terminal(person: Person) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # inherited, as nohup does it
    try:
        server = person.starts("serve", "--port", "0")
    finally:
        signal.signal(signal.SIGHUP, before)
    url = url_of(server)
    server.send_signal(signal.SIGHUP)
    assert httpx2.get(f"{url}/health", trust_env=False).status_code == 200
    server.send_signal(signal.SIGTERM)
    assert person.awaits(server).code == 0


def test_a_server_that_requires_keys_answers_an_agent_with_one(person: Person) -> None:
    job_id = person.enqueues("--shell", "exit 3")
    token = person.asks("keys", "create", "far", "--agent", "far")["token"]
    server = person.starts("serve", "--port", "0", "--require-auth")
    environment = {"CICD_SERVER": url_of(server), "CICD_STORE": "sqlite:///nowhere/ci.db"}
    command = ("agent", "--until-idle", "--agent-id", "far")
    assert person.types(*command, **environment).code == 4
    assert person.asks("job", job_id)["state"] == "queued"
    agent = person.types(*command, **environment, CICD_KEY=token)
    assert agent.code == 0, agent.err
    assert person.asks("job", job_id)["state"] == "failed"
    server.send_signal(signal.SIGTERM)
    ended = person.awaits(server)
    assert "callers need an API key" in ended.err
    assert token not in ended.err + agent.err


def test_a_server_with_a_certificate_speaks_https(person: Person, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certified = ("--certfile", "cert.pem", "--keyfile", "key.pem")
    server = person.starts("serve", "--port", "0", *certified, "--trusted-proxy", "127.0.0.0/8")
    url = url_of(server)
    assert url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    answer = httpx2.get(f"{url}/health/ready", verify=trusting, timeout=PATIENCE, trust_env=False)
    assert answer.json()["status"] == "ready"
    # The proxy is believed that its caller is on another machine.
    refused = httpx2.get(
        f"{url}/api/queue/jobs",
        headers={"x-forwarded-for": "192.0.2.7"},
        verify=trusting,
        timeout=PATIENCE,
        trust_env=False,
    )
    assert refused.status_code == 401


def test_a_demo_beside_a_store_ends_its_streams_when_the_server_stops(person: Person) -> None:
    beside = ("--demo", "--store", "sqlite:///ci.db", "--grace", "100000")
    server = person.starts("serve", "--port", "0", *beside)
    stream = httpx2.stream(
        "GET",
        f"{url_of(server)}/api/events/stream?from_now=true",
        headers={"x-demo-mode": "true"},
        timeout=PATIENCE,
        trust_env=False,
    )
    with stream as events:
        parts = events.iter_bytes()
        assert next(parts)
        server.send_signal(signal.SIGTERM)
        ended = person.awaits(server)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--host", "0.0.0.0"), "without keys"),  # noqa: S104 - it is refused
        (("--certfile", "cert.pem"), "give both the certificate and its key"),
    ],
)
def test_an_open_address_and_half_a_certificate_are_refused(
    person: Person, words: tuple[str, ...], message: str
) -> None:
    refused = person.types("serve", *words)
    assert refused.code == 2
    assert message in refused.err
