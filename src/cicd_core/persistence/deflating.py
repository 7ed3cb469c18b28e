"""Long bodies are deflated: a mark, which no JSON begins with, and a raw deflate stream."""

from __future__ import annotations

import zlib
from typing import Final

from cicd_core.store.records import MAX_RECORD_BYTES

#: Bodies of at most so many bytes stay as they are.
LEAST: Final = 1024
MARK: Final = b"\x01"
#: The fastest level. Most of the time for a short body goes to the tables, so they are small.
_LEVEL, _MEMORY = 1, 5
#: Up to so many bytes a window of 4 KiB does as well as the whole one.
_SHORT: Final = 8192
_SHORT_WINDOW, _WINDOW = -12, -15


def deflated(body: bytes) -> bytes:
    """Return a body as it is stored: deflated if it is long, and if that makes it shorter.

    One that is over the limit of a record stays, so that the store refuses it.
    """
    if not LEAST < len(body) <= MAX_RECORD_BYTES:
        return body
    window = _SHORT_WINDOW if len(body) <= _SHORT else _WINDOW
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, window, _MEMORY)
    short = MARK + stream.compress(body) + stream.flush()
    return short if len(short) < len(body) else body


def inflated(stored: bytes) -> bytes:
    """Return the body that :func:`deflated` was given.

    Raises:
        ValueError: the stream is damaged, or its body is over the limit of a record.
    """
    if not stored.startswith(MARK):
        return stored
    stream = zlib.decompressobj(_WINDOW)
    try:
        body = stream.decompress(stored[len(MARK) :], MAX_RECORD_BYTES)
    except zlib.error as broken:
        raise ValueError(str(broken)) from broken
    if not stream.eof or stream.unused_data:
        raise ValueError(f"it is not one stream of at most {MAX_RECORD_BYTES} bytes")
    return body
