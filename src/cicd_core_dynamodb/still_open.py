"""The commits of the journal that are still undecided, by entry and not by item. Pure.

An item of the journal holds the entries of many commits. One may stay undecided while the log has
the others already. So each entry is named by the place of its item and its number in the item.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from cicd_core.values import frozen
from cicd_core_dynamodb.ordering import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core_dynamodb.ordering import WaitingEntry


@frozen
class StillOpen:
    """The undecided entries of one item of the journal."""

    #: The place of the item.
    place: str
    #: The numbers of the entries, as the bits of a number.
    entries: int

    @property
    def micros(self) -> int:
        """When the item was placed (µs), by the writer's clock."""
        return moment(self.place)

    @property
    def text(self) -> str:
        """Its form in an item of the log: the place, a point, the entries in hexadecimal."""
        return f"{self.place}.{self.entries:x}"

    def holds(self, index: int) -> bool:
        """Whether the entry of that number is undecided."""
        return bool(self.entries >> index & 1)


def parsed(text: str) -> StillOpen:
    """Return the value of a :attr:`StillOpen.text`.

    Raises:
        ValueError: it is not such a text.
    """
    place, _, entries = text.partition(".")
    return StillOpen(place, int(entries, 16))


def still_open(undecided: Iterable[WaitingEntry]) -> tuple[StillOpen, ...]:
    """Return the names of undecided entries, grouped by item and ordered by place."""
    places: defaultdict[str, int] = defaultdict(int)
    for item in undecided:
        places[item.place] |= 1 << item.index
    return tuple(StillOpen(place, places[place]) for place in sorted(places))


def first_too_many(names: Iterable[StillOpen], most: int) -> StillOpen | None:
    """Return the first name that does not fit into ``most`` bytes; None: all of them fit."""
    size = 0
    for name in names:
        size += len(name.text)
        if size > most:
            return name
    return None
