"""The bytes of logs as text."""

from __future__ import annotations

from typing import Final

#: The most bytes of one character in UTF-8.
_WIDEST: Final = 4
_CONTINUES: Final = range(0x80, 0xC0)
#: The least byte that begins a character of so many bytes; from 0xF5 on none does.
_BEGINNINGS: Final = ((0xF5, 1), (0xF0, 4), (0xE0, 3), (0xC2, 2))


def whole_characters(data: bytes) -> int:
    """Return how many bytes there are before a character whose end is missing.

    Only what UTF-8 may still make a character of is left back: at most three bytes.
    """
    for back in range(1, min(_WIDEST, len(data) + 1)):
        byte = data[-back]
        if byte in _CONTINUES:
            continue
        return len(data) - back if _length_of(byte) > back else len(data)
    return len(data)


def _length_of(byte: int) -> int:
    """Return how many bytes the character has that a byte begins."""
    return next((size for least, size in _BEGINNINGS if least <= byte), 1)
