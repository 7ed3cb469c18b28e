"""Pieces of a log whose bytes are spread over files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Default of the maximum number of bytes in a piece.
PIECE_BYTES: Final = 256 * 1024


@frozen(kw_only=True)
class LogPiece:
    """Bytes read from a log."""

    data: bytes
    #: Number of omitted bytes before them.
    missing: int
    #: The offset at which the next piece begins.
    next_offset: int

    @property
    def offset(self) -> int:
        """The offset of the first byte."""
        return self.next_offset - len(self.data)


@frozen
class Span:
    """The location of some bytes of a log: an offset in the log, and a place in a file."""

    #: The offset of the first byte in the log.
    start: int
    size: int
    path: Path
    #: Where the bytes begin in the file.
    offset: int = 0

    @property
    def end(self) -> int:
        """The offset after the last byte."""
        return self.start + self.size


def piece_of(spans: Iterable[Span], offset: int, most: int = PIECE_BYTES) -> LogPiece:
    """Return the bytes of a log from an offset on, up to the end of one file.

    Args:
        spans: the locations of the log's bytes.
        offset: 0, or the ``next_offset`` of the previous piece.
        most: maximum number of bytes.

    Raises:
        FileNotFoundError: a file was removed after it was listed.
        OSError: a file can't be read.
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
    """Return where the last ``lines`` lines of a text begin; None: it may have fewer."""
    place = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        place = data.rfind(b"\n", 0, place)
        if place < 0:
            return None
    return place + 1
