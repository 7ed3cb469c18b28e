"""Memory stores that each make one mistake in what they write, find, tell or count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.store.memory import MemoryBackend
from cicd_core.store.memory.rows import Row, Rows, key_in
from cicd_core.store.records import KEEP, Committed, Conflict, Put, RecordPage
from cicd_core.store.semantics import conflicts, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cicd_core.store.memory.rows import PartitionKey
    from cicd_core.store.records import (
        Commit,
        Count,
        Partition,
        Query,
        Record,
    )


class _StaleRows(Rows):
    """A row that moves leaves its old index entry behind."""

    def _leave(self, partition: PartitionKey, at: str, expires_at: int | None) -> None:
        if (partition[0], key_in(at)) not in self._rows:
            super()._leave(partition, at, expires_at)

    def _walk(self, collection: str, sorts: Iterable[str], now: int) -> Iterator[Row]:
        there = (sort for sort in sorts if (collection, key_in(sort)) in self._rows)
        return super()._walk(collection, there, now)


class LeavesIndexEntries(MemoryBackend):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _StaleRows(self.collections, entered=self._waiters.tell)


class LosesUpdates(MemoryBackend):
    """It compares versions in one step, and writes in another."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        found = [self._conflicts(commit) for commit in commits]
        await checkpoint()
        with self._lock:
            now = self._tick()
            return [
                Conflict(wrong) if wrong else self._commit(self._as_if_expected(commit), now)
                for commit, wrong in zip(commits, found, strict=True)
            ]

    def _records(self, commit: Commit) -> dict[tuple[str, str], Record | None]:
        rows = {at: self._rows.live(at, self._tick()) for at in map(subject_of, commit.writes)}
        return {at: row.record if row else None for at, row in rows.items()}

    def _conflicts(self, commit: Commit) -> tuple[tuple[str, str], ...]:
        return conflicts(commit, self._records(commit), self._tick())

    def _as_if_expected(self, commit: Commit) -> Commit:
        records = self._records(commit)
        writes = [
            evolve(write, expected=record.version if record else 0)
            for write in commit.writes
            if (record := records[subject_of(write)]) or isinstance(write, Put)
        ]
        return evolve(commit, writes=tuple(writes))


class WritesWhatFits(MemoryBackend):
    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        answer = super()._commit(commit, now)
        if isinstance(answer, Conflict):
            fits = [write for write in commit.writes if subject_of(write) not in answer.keys]
            if any(isinstance(write, Put) for write in fits):
                super()._commit(evolve(commit, writes=tuple(fits), events=(), increments=()), now)
        return answer


class TellsInASecondStep(MemoryBackend):
    """A call that is cancelled between the two leaves records without their events."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._told = set[str]()

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        answers = await super().commit([evolve(commit, events=()) for commit in commits])
        await checkpoint()
        for commit, answer in zip(commits, answers, strict=True):
            if isinstance(answer, Committed) and commit.commit_id not in self._told:
                self._told.add(commit.commit_id)
                tell(self, commit, answer)
        return answers


class ForgetsCommits(MemoryBackend):
    seen = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.seen += 1
        ids = [f"{each.commit_id}.{self.seen}.{number}" for number, each in enumerate(commits)]
        renamed = zip(commits, ids, strict=True)
        return await super().commit([evolve(each, commit_id=name) for each, name in renamed])


class LosesEvents(MemoryBackend):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([evolve(each, events=each.events[:1]) for each in commits])


class TellsTwice(MemoryBackend):
    """A commit that is repeated is recognised, and tells its events again."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._applied = set[str]()

    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        answer = super()._commit(commit, now)
        if isinstance(answer, Committed) and commit.commit_id in self._applied:
            tell(self, commit, answer)
        self._applied.add(commit.commit_id)
        return answer


class CountsBeforeItCompares(MemoryBackend):
    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        for increment in commit.increments:
            self._log.increment(increment)
        return super()._commit(evolve(commit, increments=()), now)


class LosesIncrements(MemoryBackend):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([evolve(each, increments=()) for each in commits])


class _RowsFromOne(Rows):
    def first_version(self, now: int) -> int:
        return 1


class RestartsVersions(MemoryBackend):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _RowsFromOne(self.collections, entered=self._waiters.tell)


class ForgetsLeases(MemoryBackend):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([each_put(each, drop_lease) for each in commits])


class KeepsGrants(MemoryBackend):
    def _put(self, put: Put, old: Record | None, commit: Commit, now: int) -> int:
        version = super()._put(put, old, commit, now)
        row = self._rows.live((put.collection, put.key), now)
        if row is not None and old is not None:
            kept = evolve(row.record, grant=old.grant)
            self._rows.put(put.collection, Row(kept, row.given))
        return version


class KeepsRecordsTooLong(MemoryBackend):
    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([each_put(each, live_on) for each in commits])


class TakesKeysForOne(MemoryBackend):
    """Its collation ignores case; the keys that it answers are those that were asked for."""

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, [folded(collection, key) for key in keys])
        there = [(key, found.get(folded(collection, key))) for key in keys]
        return {key: evolve(record, key=key) for key, record in there if record is not None}

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit(
            [
                each_put(each, lambda put: evolve(put, key=folded(put.collection, put.key)))
                for each in commits
            ]
        )


class LosesWhatWasRead(MemoryBackend):
    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        return await super().get(collection, keys[:1])


class PagesByNumber(MemoryBackend):
    """It goes on behind as many records as there were on the pages before."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._numbers: dict[str, int] = {}

    async def page(self, query: Query) -> RecordPage:
        bound = query.before if query.descending else query.after
        number = self._numbers.get(bound or "", 0)
        if not number or (query.before and query.after):
            page = await super().page(query)
        else:
            whole = await super().page(evolve(query, after=None, before=None, limit=1000))
            records = whole.records[number : number + query.limit]
            page = RecordPage(records, more=len(whole.records) > number + query.limit)
        if page.records:
            last = page.records[-1].attributes[query.partition.index.sort]
            self._numbers[last] = number + len(page.records)
        return page


class IgnoresBounds(MemoryBackend):
    async def page(self, query: Query) -> RecordPage:
        return await super().page(evolve(query, before=None))


class PagesInOneDirection(MemoryBackend):
    async def page(self, query: Query) -> RecordPage:
        return await super().page(evolve(query, descending=False))


class Miscounts(MemoryBackend):
    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        counts = await super().count(partitions)
        return [evolve(each, number=min(each.number, 1)) for each in counts]


def tell(store: MemoryBackend, commit: Commit, answer: Committed) -> None:
    """Append a commit's events to the log."""
    for event in commit.events:
        version = event.version or answer.versions[event.collection, event.key]
        now = store._clock.micros()  # noqa: SLF001 - one of ours, made faulty
        store._log.append(event, version, now)  # noqa: SLF001 - one of ours, made faulty


def each_put(commit: Commit, change: Callable[[Put], Put]) -> Commit:
    writes = tuple(change(each) if isinstance(each, Put) else each for each in commit.writes)
    return evolve(commit, writes=writes)


def drop_lease(put: Put) -> Put:
    return evolve(put, lease=None) if put.lease is KEEP else put


def live_on(put: Put) -> Put:
    return evolve(put, expires_at=None)


def folded(collection: str, key: str) -> str:
    return key.lower() if collection == "plain" else key
