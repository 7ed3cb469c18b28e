"""Where a client finds its server: wrong addresses, and what errors show of secrets."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import InvalidInput, StoreClosed, StoreUnavailable, UnsupportedCapability
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.client.address import Address
from tests.http.answering import answering

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

#: Nothing listens there.
NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize(
    "token", ["cicd_s3cr3t\n", " cicd_s3cr3t", "cicd s3cr3t", "s3cr3t\x00", ""]
)
def test_credentials_that_no_header_holds_are_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidInput, match="credentials") as refused:
        RemoteControlPlane("http://127.0.0.1", token)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://u:s3cr3t@[::1",
        "http://u:s3cr3t@127.0.0.1:99999",
        "http://u:s3cr3t@",
        "ftp://u:s3cr3t@h",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInput, match="url") as refused:
        RemoteControlPlane(url)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("proxy", ["nonsense", "ftp://u:s3cr3t@h", "http://u:s3cr3t@[::1"])
def test_a_proxy_that_is_none_is_refused_without_its_password(proxy: str) -> None:
    with pytest.raises(InvalidInput, match="proxy") as refused:
        RemoteControlPlane("http://127.0.0.1", proxy=proxy)
    assert "s3cr3t" not in str(refused.value)


async def test_no_error_and_no_repr_shows_the_password_of_a_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cicd_core.http.client.connection.TRIES", 1)
    url = f"http://u:s3cr3t@{NOWHERE}"
    assert "s3cr3t" not in repr(Address(url=url, proxy="http://:s3cr3t@h"))
    assert "s3cr3t" not in repr(Address(url=f"http://{NOWHERE}", credentials="s3cr3t"))
    async with RemoteControlPlane(url) as remote:
        with pytest.raises(StoreUnavailable, match="is unreachable") as failed:
            await remote.jobs.list()
    assert "s3cr3t" not in str(failed.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("301 Moved Permanently\r\nlocation: https://u:s3cr3t@ci.example.org", "ci.example.org"),
        ("307 Temporary Redirect", "another place"),
        ("200 OK", "not JSON"),
    ],
)
async def test_an_answer_of_another_server_is_not_waited_for_to_change(
    answer: str, reason: str
) -> None:
    async with answering(answer) as (url, calls), RemoteControlPlane(url) as remote:
        with pytest.raises(UnsupportedCapability, match=reason) as failed:
            await remote.jobs.list()
    assert len(calls) == 1
    assert "s3cr3t" not in str(failed.value)


async def test_a_key_and_a_user_of_the_url_are_refused_together() -> None:
    with pytest.raises(InvalidInput, match="would replace the key") as refused:
        RemoteControlPlane(f"http://u:s3cr3t@{NOWHERE}", "cicd_key")
    assert "s3cr3t" not in str(refused.value)
    assert "cicd_key" not in str(refused.value)


@pytest.mark.parametrize("end", ["?x=1", "/ci?x=1", "#top"])
def test_a_url_with_a_query_or_a_fragment_is_refused(end: str) -> None:
    with pytest.raises(InvalidInput, match=r"^url"):
        RemoteControlPlane(f"http://{NOWHERE}{end}")


@pytest.mark.parametrize("proxy", ["ftp://u:s3cr3t@h", "http://u:s3cr3t@[::1", "s3cr3t::"])
def test_a_proxy_of_the_environment_that_is_none_is_refused_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(InvalidInput, match=r"^proxy: .*HTTPS_PROXY") as refused:
        RemoteControlPlane("http://ci.example.org")
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.skipif(find_spec("socksio") is not None, reason="socksio is installed")
def test_a_socks_proxy_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
    with pytest.raises(UnsupportedCapability, match=r"httpx2\[socks\]"):
        RemoteControlPlane("http://ci.example.org")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_is_none_is_named(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(InvalidInput, match="unset SSL_CERT_FILE") as refused:
        RemoteControlPlane("https://ci.example.org")
    assert refused.value.field == "SSL_CERT_FILE"


async def test_a_closed_client_says_so() -> None:
    async with answering("200 OK", b"{}") as (url, asked):
        async with RemoteControlPlane(url) as remote:
            pass
        with pytest.raises(StoreClosed, match="open another one"):
            await remote.jobs.list()
        with pytest.raises(StoreClosed):
            await anext(remote.events.follow())
    assert asked == []


def test_a_forked_child_does_not_use_the_connections_of_its_parent() -> None:
    remote = RemoteControlPlane(f"http://{NOWHERE}")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            anyio.run(remote.now)
        except StoreClosed:
            anyio.run(remote.__aexit__, None, None, None)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
