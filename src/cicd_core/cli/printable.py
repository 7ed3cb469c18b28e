"""What a terminal may get of texts that others wrote: nothing that it would obey.

A version, a reason, an agent's word and a job's log may hold anything: escape sequences that clear
the screen or rename the window, and marks that reverse the order of letters.
"""

from __future__ import annotations

from typing import Final

#: Of the control characters below the space, these are text.
_KEPT: Final = frozenset(map(ord, "\n\t"))
#: Marks that change the direction of what follows, and so what a line seems to say.
_DIRECTIONS: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
#: Control characters with eight bits, which some terminals obey, and marks of direction.
_HIDDEN: Final = (*range(0x80, 0xA0), *_DIRECTIONS)
#: Where Unicode has the pictures of the control characters.
_PICTURES: Final = 0x2400
_VISIBLE: Final = {
    **{code: chr(_PICTURES + code) for code in range(0x20) if code not in _KEPT},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys(_HIDDEN, "\N{REPLACEMENT CHARACTER}"),
}
_ESCAPED: Final = {code: f"\\u{code:04x}" for code in (0x7F, *_HIDDEN, 0x2028, 0x2029)}


def printable(text: str) -> str:
    """Return a text with what is no text made visible; line ends and tabs stay."""
    return text.translate(_VISIBLE)


def printable_json(document: str) -> str:
    """Return the same JSON, whose texts hold escapes in place of what a terminal would obey."""
    return document.translate(_ESCAPED)
