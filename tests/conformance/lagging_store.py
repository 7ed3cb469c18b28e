"""The memory store, with a clock that nobody moves and with indexes, counts and a log that lag.

What a server with a time of its own is like, and a database whose indexes follow later: it shows
that the suite asks nothing of a store that the contract does not.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Final

from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.store.memory import MemoryBackend
from cicd_core.store.memory.log import Log
from cicd_core.store.memory.rows import Row, Rows, key_of_partition
from cicd_core.store.records import Conflict, Count, Query, RecordPage, StoreTime
from cicd_core.store.semantics import applied_before, conflicts, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.store.records import (
        Claim,
        Collection,
        Commit,
        Committed,
        Counters,
        EventWrite,
        Increment,
        LogPage,
        Partition,
        Record,
        Subject,
        Watch,
    )

#: How many changes the view may be behind, and how many looks bring it on by one.
LAG: Final = 10
LOOKS: Final = 4
#: By how much the clock may be off, in microseconds.
UNCERTAINTY: Final = 1000


class _ToldRows(Rows):
    """Rows that tell somebody of each change."""

    def __init__(
        self, collections: Iterable[Collection], view: Rows, tell: Callable[[partial[None]], None]
    ) -> None:
        super().__init__(collections, entered=lambda _place, _sort: None)
        self._view, self._tell = view, tell

    def put(self, collection: str, row: Row) -> None:
        super().put(collection, row)
        self._tell(partial(self._view.put, collection, row))

    def drop(self, subject: Subject) -> None:
        super().drop(subject)
        self._tell(partial(self._view.drop, subject))


class _ToldLog(Log):
    """A log that tells somebody of each change."""

    def __init__(self, retention: int, view: Log, tell: Callable[[partial[None]], None]) -> None:
        super().__init__(retention)
        self._view, self._tell = view, tell

    def append(self, event: EventWrite, version: int, now: int) -> None:
        super().append(event, version, now)
        self._tell(partial(self._view.append, event, version, now))

    def increment(self, increment: Increment) -> None:
        super().increment(increment)
        self._tell(partial(self._view.increment, increment))


def _do_all(changes: Iterable[partial[None]]) -> None:
    for change in changes:
        change()


class LaggingStore(MemoryBackend):
    """Records are consistent; what finds them is behind.

    A store that is ``frozen`` shows nothing new until it is told to catch up.
    """

    def __init__(
        self, collections: Iterable[Collection], *, frozen: bool, log_retention: float = 1e6
    ) -> None:
        super().__init__(collections, log_retention=log_retention)
        self._frozen, self._looks = frozen, count(1)
        retention = int(log_retention * 1_000_000)
        self._coming: deque[partial[None]] = deque()
        self._view = Rows(self.collections, entered=self._waiters.tell)
        self._rows = _ToldRows(self.collections, self._view, self._coming.append)
        self._view_log = Log(retention)
        #: What the commit that is under way adds to the log.
        self._of_log: list[partial[None]] = []
        self._log = _ToldLog(retention, self._view_log, self._of_log.append)

    def catch_up(self, behind: int = 0) -> None:
        """Let the view be no further behind than this."""
        with self._lock:
            while len(self._coming) > max(0, behind):
                self._coming.popleft()()

    async def now(self) -> StoreTime:
        return evolve(await super().now(), uncertainty=UNCERTAINTY)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        answers = await super().commit(commits)
        await checkpoint()  # the answer is under way: who is cancelled now does not know it
        return answers

    async def claim(self, claim: Claim) -> list[Record]:
        await checkpoint()
        with self._lock:
            now = self._tick()
            taken = [row.record for row in self._rows.held(claim.collection, claim.claim_id, now)]
            if not taken:
                taken = self._take(claim, now)
        await checkpoint()
        sort = claim.index.sort
        return sorted(taken, key=lambda record: (record.attributes.get(sort, ""), record.key))

    async def page(self, query: Query) -> RecordPage:
        await checkpoint()
        with self._lock:
            now = self._tick()
            rows = list(islice(self._view.between(query, now), query.limit + 1))
            records = tuple(row.record for row in rows[: query.limit])
            return RecordPage(records, more=len(rows) > query.limit)

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        await checkpoint()
        with self._lock:
            now = self._tick()
            numbers = [self._view.count(key_of_partition(each), now) for each in partitions]
            return [Count(number, exact=False) for number in numbers]

    async def counters(self, prefix: str) -> Counters:
        await super().counters(prefix)
        with self._lock:
            return self._view_log.counters(prefix)

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        await super().read_log(cursor, limit)
        with self._lock:
            return self._view_log.read(cursor, limit)

    def _tick(self) -> int:
        if not self._frozen:
            on = next(self._looks) % LOOKS == 0
            self.catch_up(min(LAG, len(self._coming) - 1) if on else LAG)
        now = super()._tick()
        self._view_log.sweep(now)
        return now

    def _take(self, claim: Claim, now: int) -> list[Record]:
        index = (claim.collection, claim.index.partition, claim.index.sort)
        found = self._view.smallest(((*index, value) for value in claim.partitions), now)
        taken: list[Record] = []
        for seen in found:
            if len(taken) == claim.limit:
                break
            row = self._rows.live((claim.collection, seen.record.key), now)
            if row is not None and row.record.version == seen.record.version:
                taken.append(self._grant(claim, row, now))
        return taken

    def _is_true(self, watch: Watch, now: int) -> bool:
        query = Query(partition=watch.partition, limit=1, after=watch.after)
        return next(self._view.between(query, now), None) is not None

    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        rows = {at: self._rows.live(at, now) for at in map(subject_of, commit.writes)}
        records = {at: row and row.record for at, row in rows.items()}
        given = {at: row.given for at, row in rows.items() if row}
        if applied_before(commit, records, given) is None:
            wrong = conflicts(commit, records, now - UNCERTAINTY)
            if wrong:
                return Conflict(wrong)
        answer = super()._commit(commit, now)
        if self._of_log:  # the whole commit's at once: counters agree with the log
            self._coming.append(partial(_do_all, tuple(self._of_log)))
            self._of_log.clear()
        return answer
