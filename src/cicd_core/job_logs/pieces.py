"""Pieces of a log that is spread over files, by their places in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The most bytes of one piece, where the reader names no other number.
PIECE_BYTES: Final = 256 * 1024


@frozen(kw_only=True)
class LogPiece:
    """Some bytes of a log that is read."""

    data: bytes
    #: How many bytes before them are left out.
    missing: int
    #: Where the next piece begins.
    next_offset: int

    @property
    def offset(self) -> int:
        """Where its bytes begin."""
        return self.next_offset - len(self.data)


@frozen
class Span:
    """Where some bytes of a log are."""

    #: The place of the first one in the log.
    start: int
    size: int
    path: Path
    #: Where they begin in the file.
    offset: int = 0

    @property
    def end(self) -> int:
        """The place behind the last one."""
        return self.start + self.size


def piece_of(spans: Iterable[Span], offset: int, most: int = PIECE_BYTES) -> LogPiece:
    """Return the bytes of a log from a place on, as far as one file has them.

    Args:
        spans: where the bytes of the log are.
        offset: 0, or where the piece before ended.
        most: bytes.

    Raises:
        FileNotFoundError: a file went since it was found.
        OSError: it can't be read.
    """
    ahead = [span for span in spans if span.end > offset]
    if not ahead:
        return LogPiece(data=b"", missing=0, next_offset=offset)
    span = min(ahead, key=lambda each: each.start)
    start = max(span.start, offset)
    with span.path.open("rb") as file:
        file.seek(span.offset + start - span.start)
        data = file.read(min(most, span.end - start))
    return LogPiece(data=data, missing=start - offset, next_offset=start + len(data))


def start_of_last_lines(data: bytes, lines: int) -> int | None:
    """Return where the last so many lines of a text begin; None: it may have fewer."""
    place = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        place = data.rfind(b"\n", 0, place)
        if place < 0:
            return None
    return place + 1
