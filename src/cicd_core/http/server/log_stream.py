"""A log as Server-Sent Events, from an offset on."""

from __future__ import annotations

from base64 import b64encode
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from attrs import define, field

from cicd_core.control_plane.log_following import FollowedPiece
from cicd_core.http.server.stream_watch import RETRY, StreamWatch
from cicd_core.http.wire.job_logs import END, place_to_text
from cicd_core.job_logs.text import whole_characters
from cicd_core.model.principal import Scope

if TYPE_CHECKING:
    from cicd_core.control_plane.log_following import LogFollower
    from cicd_core.http.server.routing import Call
    from cicd_core.http.server.streams import Write


@define
class LogStream:
    """The log stream of one caller."""

    call: Call
    follower: LogFollower
    encoding: Literal["text", "base64"]
    #: An incomplete character, which the next piece completes, with its offset.
    rest: FollowedPiece | None = field(default=None, init=False)

    async def run(self, write: Write) -> None:
        """Write pieces until the log ends, or the server stops.

        Raises:
            CicdError: the log can't be read, or the caller may no longer follow it.
        """
        watch = StreamWatch(self.call, Scope.LOGS_READ)
        with self.call.streams.counted(self.call.principal.name):
            await write(b": a log follows\n\n")
            async with aclosing(self.follower.pieces()) as pieces:
                async for piece in pieces:
                    if piece is not None:
                        await self._tell(write, piece)
                    if self.call.feed.is_stopping():
                        await write(RETRY)
                        return
                    await watch.look(write, b": alive\n\n")
            await self._flush(write)
            await write(f"event: {END}\ndata: {{}}\n\n".encode())

    async def _tell(self, write: Write, piece: FollowedPiece) -> None:
        if self.rest is not None:
            if self.rest.attempt == piece.attempt and not piece.missing:
                piece = _joined(self.rest, piece)
            else:
                await self._flush(write)
            self.rest = None
        size = len(piece.data) if self.encoding == "base64" else whole_characters(piece.data)
        place = piece.next_offset - len(piece.data)
        if size < len(piece.data):
            self.rest = FollowedPiece(
                attempt=piece.attempt,
                data=piece.data[size:],
                missing=0 if size else piece.missing,
                next_offset=piece.next_offset,
            )
        if size:
            await write(self._message(piece.attempt, place, piece.missing, piece.data[:size]))

    async def _flush(self, write: Write) -> None:
        """Write an incomplete character that was never completed."""
        rest, self.rest = self.rest, None
        if rest is not None:
            place = rest.next_offset - len(rest.data)
            await write(self._message(rest.attempt, place, rest.missing, rest.data))

    def _message(self, attempt: int, offset: int, missing: int, data: bytes) -> bytes:
        message: dict[str, Any] = {"attempt": attempt, "offset": offset, "missing": missing}
        if self.encoding == "base64":
            message["base64"] = b64encode(data).decode()
        else:
            message["text"] = data.decode("utf-8", "replace")
        place = place_to_text(attempt, offset + len(data))
        return f"id: {place}\ndata: ".encode() + msgspec.json.encode(message) + b"\n\n"


def _joined(first: FollowedPiece, second: FollowedPiece) -> FollowedPiece:
    return FollowedPiece(
        attempt=second.attempt,
        data=first.data + second.data,
        missing=first.missing,
        next_offset=second.next_offset,
    )
