"""Lists: fills the library's short pages, and shows the command for the next page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from cicd_core.cli.inputs import moment

if TYPE_CHECKING:
    from cicd_core.persistence.listing import Page

Entity = TypeVar("Entity")

#: Reads a page, from its limit and its cursor.
ReadPage = Callable[[int, str | None], Awaitable["Page[Entity]"]]


async def filled(read: ReadPage[Entity], *, limit: int, cursor: str | None) -> Page[Entity]:
    """Return a page with ``limit`` entities, or with all remaining ones."""
    from cicd_core.persistence.listing import Page

    items: list[Entity] = []
    unreadable: list[str] = []
    while True:
        page = await read(limit - len(items), cursor)
        items += page.items
        unreadable += page.unreadable
        cursor = page.cursor
        if cursor is None or len(items) >= limit:
            return Page(tuple(items), cursor, tuple(unreadable))


class TimeRange:
    """``--since`` and ``--until``, whose durations end at the same time."""

    def __init__(self, since: str | None, until: str | None, now: datetime) -> None:
        """Read both.

        Raises:
            InvalidInput: one is not a time.
        """
        self.since = None if since is None else moment("since", since, now)
        self.until = None if until is None else moment("until", until, now)

    @property
    def again(self) -> str:
        """The options for the same range later: a cursor belongs to one range."""
        bounds = (("since", self.since), ("until", self.until))
        return "".join(f" --{name} {at.isoformat()}" for name, at in bounds if at is not None)
