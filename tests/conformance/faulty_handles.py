"""Memory stores that each make one mistake when a handle opens, closes, or repeats a call."""

from __future__ import annotations

from itertools import count, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from anyio import Event
from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.errors import InvalidCursor, StoreClosed
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.memory.rows import Row
from cicd_core.store.records import Committed, Conflict, Delete, Put
from cicd_core.store.semantics import subject_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store.records import Claim, Commit, Counters, LogPage, Record, Subject, Watch


class _Numbered(MemoryBackend):
    """Each handle has a number, larger than those of the handles and calls before it."""

    number = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._numbers = count(1)

    def another(self) -> MemoryBackend:
        other = super().another()
        vars(other)["number"] = next(self._numbers)
        return other


class KnowsClaimsSinceItsOpening(_Numbered):
    """A handle has heard of the claims that were made since it is there."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._made: dict[str, int] = {}

    async def claim(self, claim: Claim) -> list[Record]:
        if self._made.setdefault(claim.claim_id, next(self._numbers)) > self.number:
            return await super().claim(claim)
        await checkpoint()
        with self._lock:
            now = self._tick()
            index = (claim.collection, claim.index.partition, claim.index.sort)
            rows = self._rows.smallest([(*index, value) for value in claim.partitions], now)
            return [self._grant(claim, row, now) for row in list(islice(rows, claim.limit))]


class KnowsCommitsSinceItsOpening(_Numbered):
    """A handle has heard of the commits that were made since it is there."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._made: dict[str, int] = {}

    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        if self._made.setdefault(commit.commit_id, next(self._numbers)) < self.number:
            commit = evolve(commit, commit_id=f"{commit.commit_id}.{self.number}")
        return super()._commit(commit, now)


class CountsFromItsOpening(MemoryBackend):
    """A handle sums what was added since it is there."""

    before: Mapping[str, int] = MappingProxyType({})

    def another(self) -> MemoryBackend:
        other = super().another()
        vars(other)["before"] = self._log.counters("").values
        return other

    async def counters(self, prefix: str) -> Counters:
        counters = await super().counters(prefix)
        values = {name: total - self.before.get(name, 0) for name, total in counters.values.items()}
        return evolve(counters, values=values)


class EndsCursorsWithTheirHandle(_Numbered):
    """A cursor is a server's, of one connection."""

    #: More than a log has entries.
    PLACES = 10**9

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._closed = set[int]()

    def close(self) -> None:
        self._closed.add(self.number)
        super().close()

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        handle, place = divmod(int(cursor or self.number * self.PLACES), self.PLACES)
        if handle in self._closed:
            raise InvalidCursor(cursor, "its connection has ended")
        page = await super().read_log(None if cursor is None else str(place), limit)
        return evolve(page, cursor=self._own(page.cursor))

    async def counters(self, prefix: str) -> Counters:
        counters = await super().counters(prefix)
        return evolve(counters, cursor=self._own(counters.cursor))

    def _own(self, cursor: str) -> str:
        return str(self.number * self.PLACES + int(cursor))


class ReleasesLeasesAtItsClose(MemoryBackend):
    """A lease is a lock of its session."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._taken: list[tuple[object, str, Record]] = []

    async def claim(self, claim: Claim) -> list[Record]:
        taken = await super().claim(claim)
        self._taken += [(self.lifetime, claim.collection, record) for record in taken]
        return taken

    def close(self) -> None:
        for lifetime, collection, taken in self._taken:
            row = self._rows.live((collection, taken.key), self._tick())
            if lifetime is self.lifetime and row and row.record.lease == taken.lease:
                self._rows.put(collection, Row(evolve(row.record, lease=None), row.given))
        super().close()


class WaitsOnWhenItIsClosed(MemoryBackend):
    def close(self) -> None:
        self.lifetime.end()


class EndsEveryWaitAtAClose(MemoryBackend):
    """The waiters of all handles hear of the close of one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._handles: list[MemoryBackend] = []
        self._closes: list[MemoryBackend] = []

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        self._handles.append(self)
        before = len(self._closes)
        answer = await super().wait(watches, timeout)
        if len(self._closes) > before:
            raise StoreClosed("a store was closed")
        return answer

    def close(self) -> None:
        self._closes.append(self)
        super().close()
        for handle in self._handles:
            self._waiters.wake_all(handle)


class TellsNothingBesideARepetition(MemoryBackend):
    """A list with a commit that it knows has been told before, it thinks."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seen = set[str]()

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if any(commit.commit_id in self._seen for commit in commits):
            commits = [evolve(commit, events=()) for commit in commits]
        self._seen.update(commit.commit_id for commit in commits)
        return await super().commit(commits)


class RefusesARepetitionUnderWay(MemoryBackend):
    """It takes the second of two calls at once for another writer's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._under_way = set[str]()

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        ids = {commit.commit_id for commit in commits}
        if ids & self._under_way:
            return [Conflict(tuple(map(subject_of, commit.writes))) for commit in commits]
        self._under_way |= ids
        try:
            return await super().commit(commits)
        finally:
            self._under_way -= ids


class DeletesAgainWhenRepeated(MemoryBackend):
    """A commit that is repeated deletes by the key."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seen = set[str]()

    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        answer = super()._commit(commit, now)
        if commit.commit_id in self._seen:
            gone = (subject_of(write) for write in commit.writes if isinstance(write, Delete))
            for subject in gone:
                if self._rows.live(subject, now) is not None:
                    self._rows.drop(subject)
        self._seen.add(commit.commit_id)
        return answer


class RecognisesWhatHasExpired(MemoryBackend):
    """The id of a commit is found in rows that have not been removed yet."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: dict[str, Committed] = {}

    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        kept = self._kept.get(commit.commit_id)
        puts = [write for write in commit.writes if isinstance(write, Put)]
        if kept is not None and all((put.expires_at or now + 1) <= now for put in puts):
            return kept
        answer = super()._commit(commit, now)
        if isinstance(answer, Committed):
            self._kept[commit.commit_id] = answer
        return answer


class SharesAnswersByTheClaimId(MemoryBackend):
    """A claim that comes while another one with its id is under way gets that one's answer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._under_way: dict[str, tuple[Event, list[Record]]] = {}

    async def claim(self, claim: Claim) -> list[Record]:
        if claim.claim_id in self._under_way:
            ended, answer = self._under_way[claim.claim_id]
            await ended.wait()
            return answer
        ended, answer = self._under_way[claim.claim_id] = (Event(), [])
        try:
            answer += await super().claim(claim)
        finally:
            del self._under_way[claim.claim_id]
            ended.set()
        return answer


class DeletesWhatHasExpired(MemoryBackend):
    """A delete finds rows that have expired, and have not been removed yet."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._last: dict[Subject, tuple[int, int | None]] = {}

    def _commit(self, commit: Commit, now: int) -> Committed | Conflict:
        writes = [write for write in commit.writes if not self._is_left(write, now)]
        answer = super()._commit(evolve(commit, writes=tuple(writes)), now)
        for write in commit.writes:
            if isinstance(answer, Committed) and isinstance(write, Put):
                subject = subject_of(write)
                self._last[subject] = (answer.versions[subject], write.expires_at)
        return answer

    def _is_left(self, write: Put | Delete, now: int) -> bool:
        version, expires_at = self._last.get(subject_of(write), (0, None))
        has_expired = expires_at is not None and expires_at <= now
        return isinstance(write, Delete) and has_expired and write.expected == version
