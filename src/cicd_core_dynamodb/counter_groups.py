"""Keeps the sums of a counter group in items, for any number of names. Pure.

A group is the part of a name before the last ``|``. Its sums are in one item, until they have more
bytes than :data:`MOST_BYTES`. Then they are split, by a digit of a hash of each name, into up to 16
items, each of which may be split again. A part records up to which item of the log its sums are
complete, and whether it was split. So the items alone decide which item holds a name, and the log
alone decides the sums of each item. Any number of processes may fold at once, and a split that a
process leaves unfinished has no effect.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from attrs import field

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: About the most bytes of the sums in one item; an item of DynamoDB may have 400 KB.
MOST_BYTES: Final = 64 * 1024
#: The bytes of a sum besides its name.
_SUM_BYTES: Final = 24


def group_of(name: str) -> str:
    """Return the group of a counter."""
    return name.rpartition("|")[0]


def rest_of(name: str) -> str:
    """Return the part of a name after its group, with the bar, if it has one."""
    return name[len(group_of(name)) :]


@frozen
class Part:
    """The sums of a group, or of a part of it, up to an item of the log."""

    up_to: int = 0
    #: By the part of each name after its group.
    sums: Mapping[str, int] = field(factory=dict[str, int])
    #: Whether its sums are in the parts below it instead.
    is_split: bool = False


@frozen
class Group:
    """A group, read from its items."""

    name: str
    #: By their paths: the digits by which they were split; the group's own item has no digits.
    parts: Mapping[str, Part] = field(factory=dict[str, Part])

    @property
    def is_split(self) -> bool:
        """Whether the group's own item was split."""
        return self.parts.get("", Part()).is_split

    @property
    def up_to(self) -> int:
        """The last item of the log in any of its parts."""
        return max((part.up_to for part in self.parts.values()), default=0)

    def position_of(self, rest: str) -> tuple[str, Part]:
        """Return the path to the part that holds a name, and the part."""
        digits = _digits(rest)
        path, part = "", self.parts.get("", Part())
        while part.is_split:
            path = digits[: len(path) + 1]
            # The split wrote all names of the part below it: a missing name has the sum 0.
            part = self.parts.get(path, Part(part.up_to))
        return path, part

    def sums(self) -> Iterable[tuple[str, int]]:
        """Yield the names in its parts, with their sums."""
        for path, part in self.parts.items():
            if not part.is_split and self._counts(path):
                for rest, amount in part.sums.items():
                    yield self.name + rest, amount

    def _counts(self, path: str) -> bool:
        """Whether all parts above a part were split; otherwise its split was never finished."""
        above = (self.parts.get(path[:length]) for length in range(len(path)))
        return all(part is not None and part.is_split for part in above)

    def folded(self, tail: Mapping[int, list[tuple[str, int]]], head: int) -> dict[str, Part]:
        """Return the parts to write, in this order, so that its sums are complete up to ``head``.

        Args:
            tail: the increments of the log's items after the sums, of any group.
            head: the last of these items.
        """
        changed: dict[str, Counter[str]] = {}
        for at, increments in tail.items():
            for name, amount in increments:
                if group_of(name) != self.name:
                    continue
                path, part = self.position_of(rest_of(name))
                if at > part.up_to:
                    changed.setdefault(path, Counter(part.sums))[rest_of(name)] += amount
        written: dict[str, Part] = {}
        for path, sums in changed.items():
            written |= _split(path, sums, head)
        return written


def _split(path: str, sums: Mapping[str, int], head: int) -> dict[str, Part]:
    """Return the parts for the sums: the parts below a part come before the part itself."""
    size = sum(len(rest.encode()) + _SUM_BYTES for rest in sums)
    if size <= MOST_BYTES or len(sums) == 1:
        return {path: Part(head, sums)}
    below: dict[str, dict[str, int]] = {}
    for rest, amount in sums.items():
        below.setdefault(_digits(rest)[: len(path) + 1], {})[rest] = amount
    parts: dict[str, Part] = {}
    for path_below in sorted(below):
        parts |= _split(path_below, below[path_below], head)
    return {**parts, path: Part(head, is_split=True)}


def _digits(rest: str) -> str:
    return hashlib.blake2b(rest.encode(), digest_size=16).hexdigest()
