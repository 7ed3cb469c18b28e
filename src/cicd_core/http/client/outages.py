"""Limits how long a stream or a wait continues without an answer, such as during a restart."""

from __future__ import annotations

from typing import Final

import anyio

#: The longest outage that a stream or a wait survives, in seconds: a restart, with its start.
OUTAGE_SECONDS: Final = 60.0


class Outage:
    """The time since the last answer of the server; it starts at the first failed try."""

    def __init__(self) -> None:
        """Start without an answer: until the first one, the URL may be wrong."""
        self._has_answered = False
        self._since: float | None = None

    def over(self) -> None:
        """Note that the server answered."""
        self._has_answered, self._since = True, None

    def may_go_on(self) -> bool:
        """Return whether to try again after a failed try."""
        if not self._has_answered:
            return False
        now = anyio.current_time()
        if self._since is None:
            self._since = now
        return now - self._since < OUTAGE_SECONDS
