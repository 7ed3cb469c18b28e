"""Parses Server-Sent Events of the server: blocks of lines, each a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from cicd_core.errors import UnsupportedCapability
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_END_OF_BLOCK: Final = b"\n\n"
#: Maximum size of a message in bytes: events are small.
_MOST: Final = 16 * 1024 * 1024


@frozen(kw_only=True)
class Message:
    """One message."""

    #: None: an event of the log.
    name: str | None = None
    #: Where the stream continues after it; None: the message does not say.
    place: str | None = None
    #: Its JSON; None: the message has only a position, or is a sign of life.
    data: Any = None


async def messages(parts: AsyncIterator[bytes]) -> AsyncGenerator[Message, None]:
    """Yield the messages of a stream.

    Raises:
        UnsupportedCapability: it is not a stream of the server.
    """
    rest = b""
    async for part in parts:
        *blocks, rest = (rest + part).split(_END_OF_BLOCK)
        for block in blocks:
            yield _message(block)
        if len(rest) > _MOST:
            raise UnsupportedCapability("the answer is not an event stream; check the URL")


def _message(block: bytes) -> Message:
    fields: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        name, _, value = line.partition(":")
        fields[name] = value.removeprefix(" ")
    try:
        data = msgspec.json.decode(fields["data"]) if "data" in fields else None
    except msgspec.DecodeError as broken:
        raise UnsupportedCapability(f"an event of the stream is not JSON: {broken}") from broken
    return Message(name=fields.get("event"), place=fields.get("id"), data=data)
