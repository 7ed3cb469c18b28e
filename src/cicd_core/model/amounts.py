"""Numbers with their nouns: ``1 job``, ``2 jobs``."""

from __future__ import annotations


def amount(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun; the plural adds an s unless ``many`` is given."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"
