"""Converts the bytes of logs to text."""

from __future__ import annotations

from typing import Final

#: Maximum number of bytes of one UTF-8 character.
_WIDEST: Final = 4
_CONTINUES: Final = range(0x80, 0xC0)
#: The smallest first byte of a character of a given length; bytes from 0xF5 on start none.
_BEGINNINGS: Final = ((0xF5, 1), (0xF0, 4), (0xE0, 3), (0xC2, 2))


def whole_characters(data: bytes) -> int:
    """Return the length of ``data`` without an incomplete character at its end.

    Only bytes that can still become a UTF-8 character are left out: at most three.
    """
    for back in range(1, min(_WIDEST, len(data) + 1)):
        byte = data[-back]
        if byte in _CONTINUES:
            continue
        return len(data) - back if _length_of(byte) > back else len(data)
    return len(data)


def _length_of(byte: int) -> int:
    """Return the number of bytes of the character that starts with this byte."""
    return next((size for least, size in _BEGINNINGS if least <= byte), 1)
