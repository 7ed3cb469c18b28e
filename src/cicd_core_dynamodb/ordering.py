"""The order of entries in the log: each subject's by its versions. Pure."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cicd_core.store.records import Subject
    from cicd_core_dynamodb.entries import Entry

#: The unique name of an entry.
Name = tuple[bytes, int]


@frozen(kw_only=True)
class WaitingEntry:
    """An entry of the journal that is not in the log yet."""

    #: Its place in the journal.
    place: str
    #: Its number among the entries of that item.
    index: int
    entry: Entry

    @property
    def name(self) -> Name:
        """Its unique name."""
        return self.entry.name

    @property
    def micros(self) -> int:
        """When it was journalled (µs), by the writer's clock."""
        return moment(self.place)


def moment(place: str) -> int:
    """Return when an item of the journal was placed (µs), by the writer's clock."""
    return int(place[:16])


def with_predecessors(
    applied: Sequence[WaitingEntry], late: Iterable[WaitingEntry]
) -> list[WaitingEntry]:
    """Return entries, and those of ``late`` with earlier versions of one of their subjects."""
    chosen = {item.name: item for item in applied}
    by_subject = _by_subject(late)
    looking = list(applied)
    while looking:
        each = looking.pop()
        for subject, rank in each.entry.ranks:
            for other_rank, other in by_subject.get(subject, ()):
                if other_rank <= rank and other.name not in chosen:
                    chosen[other.name] = other
                    looking.append(other)
    return list(chosen.values())


def in_order(entries: Sequence[WaitingEntry]) -> list[WaitingEntry]:
    """Return entries by their places in the journal, as far as the versions allow."""
    known = {entry.name: entry for entry in entries}
    followers: dict[Name, list[Name]] = {name: [] for name in known}
    leaders = dict.fromkeys(known, 0)
    for those in _by_subject(entries).values():
        names = [item.name for _, item in those]
        for earlier, later in pairwise(names):
            followers[earlier].append(later)
            leaders[later] += 1
    ready = [(known[name].place, name) for name, count in leaders.items() if not count]
    heapify(ready)
    ordered: list[WaitingEntry] = []
    while ready:
        _, name = heappop(ready)
        ordered.append(known.pop(name))
        for later in followers[name]:
            leaders[later] -= 1
            if not leaders[later]:
                heappush(ready, (known[later].place, later))
    # Events of old versions may form a cycle: any order is right for them.
    return [*ordered, *sorted(known.values(), key=lambda item: item.place)]


def _by_subject(entries: Iterable[WaitingEntry]) -> dict[Subject, list[tuple[int, WaitingEntry]]]:
    by_subject: dict[Subject, list[tuple[int, WaitingEntry]]] = {}
    for entry in entries:
        for subject, rank in entry.entry.ranks:
            by_subject.setdefault(subject, []).append((rank, entry))
    for those in by_subject.values():
        those.sort(key=lambda pair: (pair[0], pair[1].entry.part, pair[1].place))
    return by_subject
