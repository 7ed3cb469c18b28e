"""A set of open intervals of time in which a queue certainly had a better job."""

from __future__ import annotations

from sortedcontainers import SortedDict


class BusyTimes:
    """The union of open intervals; if two only touch, the instant between them is free."""

    def __init__(self) -> None:
        #: Begin and end; no two of them overlap.
        self._ends: SortedDict[int, int] = SortedDict()

    def add(self, begin: int, end: int) -> None:
        """Add the instants after ``begin`` and before ``end``."""
        if begin >= end:
            return
        ends = self._ends
        place = ends.bisect_right(begin) - 1
        if place >= 0 and ends.peekitem(place)[1] > begin:
            begin, known = ends.peekitem(place)
            end = max(end, known)
        place = ends.bisect_left(begin)
        while place < len(ends):
            other, known = ends.peekitem(place)
            if other >= end:
                break
            end = max(end, known)
            del ends[other]
        ends[begin] = end

    def free_from(self, instant: int) -> int:
        """Return the first instant at or after this one that is in no interval."""
        place = self._ends.bisect_left(instant) - 1
        if place < 0:
            return instant
        end: int = self._ends.peekitem(place)[1]
        return max(instant, end)
