"""Where a client finds its server: wrong addresses, and what errors show of secrets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import SocketAttribute

from cicd_core import InvalidInput, StoreUnavailable, UnsupportedCapability
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.client.connection import Address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import SocketStream

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
    assert "s3cr3t" not in repr(Address(url=url, credentials="s3cr3t", proxy="http://:s3cr3t@h"))
    async with RemoteControlPlane(url, "s3cr3t") as remote:
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


@asynccontextmanager
async def answering(head: str) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Answer every request the same, without a body; yields the URL, and what was asked."""
    asked: list[bytes] = []

    async def answer(stream: SocketStream) -> None:
        async with stream:
            asked.append(await stream.receive())
            text = f"HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            await stream.send(text.encode())

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.listeners[0].extra(SocketAttribute.local_port)  # noqa: S610 - no database
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        yield f"http://127.0.0.1:{port}", asked
        tasks.cancel_scope.cancel()
