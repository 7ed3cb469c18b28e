"""Where the frames of Redis' protocol end, RESP2 and RESP3 alike."""

from __future__ import annotations

from typing import Final

from attrs import define, field

_BLOBS: Final = b"$=!"
_ARRAYS: Final = b"*~>"
_MAPS: Final = b"%|"


@define
class FrameSplitter:
    """Cuts a stream of bytes, as it arrives, into whole frames."""

    _pending: bytearray = field(factory=bytearray)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that these bytes complete."""
        self._pending += data
        frames: list[bytes] = []
        start = 0
        while (end := frame_end(self._pending, start)) is not None:
            frames.append(bytes(self._pending[start:end]))
            start = end
        del self._pending[:start]
        return frames


def frame_end(data: bytes | bytearray, start: int) -> int | None:
    """Return where the frame ends that starts there, or None while some of it is missing."""
    missing = 1
    while missing:
        line_end = data.find(b"\r\n", start)
        if line_end < 0:
            return None
        kind, rest = data[start : start + 1], data[start + 1 : line_end]
        start = line_end + 2
        missing += _parts(kind, rest) - 1
        if kind and kind in _BLOBS and int(rest) >= 0:
            start += int(rest) + 2
    return start if start <= len(data) else None


def _parts(kind: bytes | bytearray, rest: bytes | bytearray) -> int:
    """Return how many frames belong to the one of which this is the first line."""
    if kind and kind in _ARRAYS:
        return max(0, int(rest))
    if kind and kind in _MAPS:
        return 2 * int(rest) + (kind == b"|")  # an attribute stands before the frame it is about
    return 0


def words(frame: bytes) -> list[bytes]:
    """Return the first words of a command, or of a list, in capitals; one empty word if none."""
    lines = frame.split(b"\r\n", 5)
    return [each.upper() for each in lines[2:5:2]] or [b""]
