"""Logs each damaged item once, and skips it, so that it does not block the others."""

from __future__ import annotations

import logging
from typing import Final

_log = logging.getLogger(__name__)

#: The number of items that are remembered, so that each is logged once.
_REMEMBERED: Final = 1000


class Unreadable:
    """The items of one kind that this process could not read."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._named: set[str] = set()

    def note(self, name: str, broken: Exception) -> None:
        """Log an item the first time that it is found."""
        if name in self._named:
            return
        if len(self._named) >= _REMEMBERED:
            self._named.clear()
        self._named.add(name)
        _log.error(
            "skipped: item %r of the %s does not decode (%s: %s); its data is missing",
            name,
            self._kind,
            type(broken).__name__,
            broken,
        )
