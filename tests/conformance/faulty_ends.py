"""Memory stores that each make one mistake at the end of an order, a log, a line or a lane."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.store.memory import MemoryBackend
from cicd_core.store.memory.log import Log
from cicd_core.store.memory.rows import Row, Rows, key_of_partition
from cicd_core.store.records import Query, RecordPage
from cicd_core.store.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cicd_core.store.memory.rows import PartitionKey
    from cicd_core.store.records import LogPage, Subject, Watch

#: Whatever has expired is there at this time.
_BEFORE_ALL: Final = -1


class _LosesTheEnd(Rows):
    def smallest(self, partitions: Iterable[PartitionKey], now: int) -> Iterator[Row]:
        partitions = list(partitions)
        sorts = [partition[2] for partition in partitions]
        rows = super().smallest(partitions, now)
        return (row for row in rows if row.record.attributes[sorts[0]] < "\U0010ffff")


class ClaimsUpToTheLastLetter(MemoryBackend):
    """It takes the last letter for the end of every index."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _LosesTheEnd(self.collections, entered=self._waiters.tell)


class _LowFloor(Rows):
    def drop(self, subject: Subject) -> None:
        version = self._rows[subject].record.version
        super().drop(subject)
        self._floor = version + 1


class RemembersTheLastVersionAlone(MemoryBackend):
    """Of the records that were removed it remembers the version of the last one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _LowFloor(self.collections, entered=self._waiters.tell)


class PagesFromTheLastRecord(MemoryBackend):
    """It finds the last record of the page before, and goes on from there."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._ends: dict[str, str] = {}

    async def page(self, query: Query) -> RecordPage:
        bound = (query.before if query.descending else query.after) or ""
        if bound in self._ends and not self._is_in(query, (bound, self._ends[bound])):
            return RecordPage((), more=False)
        page = await super().page(query)
        if page.more:
            last = page.records[-1]
            self._ends[last.attributes[query.partition.index.sort]] = last.key
        return page

    def _is_in(self, query: Query, entry: tuple[str, str]) -> bool:
        rows = self._rows.between(evolve(query, after=None, before=None), self._tick())
        sort = query.partition.index.sort
        return entry in {(row.record.attributes[sort], row.record.key) for row in rows}


class PagesCountExpiredRecords(MemoryBackend):
    """What has expired is left out of a page, and takes its room."""

    async def page(self, query: Query) -> RecordPage:
        await checkpoint()
        with self._lock:
            now = self._tick()
            rows = list(islice(self._rows.between(query, _BEFORE_ALL), query.limit + 1))
            records = tuple(row.record for row in rows[: query.limit] if row.is_live(now))
            return RecordPage(records, more=len(rows) > query.limit)


class LooksAtTheFirstRecordAlone(MemoryBackend):
    """A wait asks whether the first record of a lane is there, which may have expired."""

    def _is_true(self, watch: Watch, now: int) -> bool:
        query = Query(partition=watch.partition, limit=1, after=watch.after)
        first = next(self._rows.between(query, _BEFORE_ALL), None)
        return first is not None and first.is_live(now)


class _SilentAtItsBeginning(Log):
    def read(self, cursor: str | None, limit: int) -> LogPage:
        page = super().read(cursor, limit)
        return evolve(page, truncated=page.truncated and cursor != "0")


class TellsNoGapToWhoBeganEarly(MemoryBackend):
    """The cursor of an empty log says the same as none."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._log = _SilentAtItsBeginning(int(1e6 * 86400 * 30))


class LosesTheTurnOfACancelledWait(MemoryBackend):
    """A waiter that was chosen and has gone takes the wake-up with it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiters = Waiters(key_of_partition, pass_on=_forget)
        self._rows = Rows(self.collections, entered=self._waiters.tell)


def _forget(_partition: PartitionKey, _sort: str) -> None:
    """Do nothing."""
