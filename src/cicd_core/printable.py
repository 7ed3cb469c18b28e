"""Makes texts from other sources safe for a terminal, without control sequences.

A version, a reason, an agent's message and a job's log may contain anything: escape sequences that
clear the screen or rename the window, and marks that reverse the order of letters.
"""

from __future__ import annotations

from typing import Final

#: The control characters below the space that are text.
_KEPT: Final = frozenset(map(ord, "\n\t"))
#: Marks that change the direction of the following text, and so the apparent text of a line.
_DIRECTIONS: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
#: Eight-bit control characters, which some terminals obey, and marks of direction.
_HIDDEN: Final = (*range(0x80, 0xA0), *_DIRECTIONS)
#: The start of Unicode's pictures of control characters.
_PICTURES: Final = 0x2400
_VISIBLE: Final = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if code not in _KEPT},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(_HIDDEN, "\N{REPLACEMENT CHARACTER}"),
}
_ESCAPED: Final = {code: f"\\u{code:04x}" for code in (0x7F, *_HIDDEN, 0x2028, 0x2029)}


def printable(text: str) -> str:
    """Return a text with its control characters made visible; line ends and tabs stay."""
    return text.translate(_VISIBLE)


def printable_json(document: str) -> str:
    """Return the same JSON, with escapes for the characters that a terminal would obey."""
    return document.translate(_ESCAPED)
