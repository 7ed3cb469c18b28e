"""Stores that each make one mistake in what they find, count, tell or wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import normalize

from anyio.lowlevel import checkpoint
from attrs import evolve

from cicd_core.store import Count, Counters, Partition, RecordPage
from cicd_core.testing.passing_store import PassingStore
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store import (
        Commit,
        Committed,
        Conflict,
        LogPage,
        Query,
        Record,
        Store,
        Watch,
    )


class ReadsTheFirstHundred(PassingStore):
    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        return await super().get(collection, keys[:100])


class CachesReads(PassingStore):
    """Each handle keeps what it has read, until it writes itself."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._kept: dict[tuple[str, str], Record] = {}

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        kept = {key: self._kept.get((collection, key), record) for key, record in found.items()}
        self._kept.update({(collection, key): record for key, record in kept.items()})
        return kept

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self._kept.clear()
        return await super().commit(commits)


class CachesCounts(PassingStore):
    """Each handle counts a partition once, until it writes itself."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._kept: dict[Partition, Count] = {}

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        found = await super().count(partitions)
        return [
            self._kept.setdefault(partition, number)
            for partition, number in zip(partitions, found, strict=True)
        ]

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self._kept.clear()
        return await super().commit(commits)


def with_this_value(value: str) -> list[Partition]:
    """Return every partition with a value, whatever its collection and index are."""
    return [Partition(each.name, index, value) for each in COLLECTIONS for index in each.indexes]


class CountsByTheValueAlone(PassingStore):
    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        every = [await super().count(with_this_value(each.value)) for each in partitions]
        exact = await super().count(partitions)
        return [
            evolve(own, number=sum(each.number for each in some))
            for own, some in zip(exact, every, strict=True)
        ]


class CountsTheFirstHundred(PassingStore):
    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        found = await super().count(partitions)
        return [*found[:100], *(evolve(each, number=0) for each in found[100:])]


class CountsWithoutCase(PassingStore):
    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        found = await super().count(partitions)
        other = await super().count([evolve(it, value=it.value.swapcase()) for it in partitions])
        return [
            number if it.value == it.value.swapcase() else evolve(number, number=also + of.number)
            for it, number, of, also in zip(
                partitions, found, other, (each.number for each in found), strict=True
            )
        ]


class PagesByTheValueAlone(PassingStore):
    """What has the value in another index of the collection is on the page too."""

    async def page(self, query: Query) -> RecordPage:
        page = await super().page(query)
        mine = query.partition
        others = [
            each
            for each in with_this_value(mine.value)
            if each.collection == mine.collection and each != mine
        ]
        more = [await self.store.page(evolve(query, partition=each)) for each in others]
        strange = [
            record
            for each in more
            for record in each.records
            if record.key not in {own.key for own in page.records}
        ]
        return evolve(page, records=(*page.records, *strange)[: query.limit])


class PagesOfFiveHundred(PassingStore):
    async def page(self, query: Query) -> RecordPage:
        return evolve(await super().page(evolve(query, limit=min(query.limit, 500))), more=False)


class NormalisesPages(PassingStore):
    async def page(self, query: Query) -> RecordPage:
        value = normalize("NFC", query.partition.value)
        return await super().page(evolve(query, partition=evolve(query.partition, value=value)))


class TellsNoGapWithoutAnEvent(PassingStore):
    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        return evolve(page, truncated=page.truncated and bool(page.entries))


class TellsTheGapAgain(PassingStore):
    """A reader that begins is told of what it never asked for."""

    truncated = False

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        type(self).truncated = self.truncated or page.truncated
        return evolve(page, truncated=page.truncated or (self.truncated and cursor is None))


class CutsEventBodies(PassingStore):
    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        entries = [evolve(each, body=each.body[:65535]) for each in page.entries]
        return evolve(page, entries=tuple(entries))


class KeepsOrdinalsIn31Bits(PassingStore):
    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        entries = [evolve(each, ordinal=each.ordinal & 0x7FFF_FFFF) for each in page.entries]
        return evolve(page, entries=tuple(entries))


class KeepsEventVersionsAsDoubles(PassingStore):
    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        entries = [evolve(each, version=int(float(each.version))) for each in page.entries]
        return evolve(page, entries=tuple(entries))


class CachesTheEndOfTheLog(PassingStore):
    """A handle that found nothing new is sure of it until it writes itself."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._ended: str | None = None

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        if cursor is not None and cursor == self._ended:
            return evolve(page, entries=(), cursor=cursor)
        self._ended = None if page.entries else cursor
        return page

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self._ended = None
        return await super().commit(commits)


class ReadsTheCursorBeforeTheCounters(PassingStore):
    async def counters(self, prefix: str) -> Counters:
        early = await super().counters(prefix)
        await checkpoint()
        return Counters((await super().counters(prefix)).values, early.cursor)


class ReadsTheCursorAfterTheCounters(PassingStore):
    async def counters(self, prefix: str) -> Counters:
        early = await super().counters(prefix)
        await checkpoint()
        return Counters(early.values, (await super().counters(prefix)).cursor)


class WaitsForTheFirstHundred(PassingStore):
    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        return await super().wait(watches[:100], timeout)


class WaitsWithoutCase(PassingStore):
    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        folded = [
            evolve(it, partition=evolve(it.partition, value=it.partition.value.lower()))
            for it in watches
        ]
        return await super().wait(folded, timeout)


class LooksAndDoesNotWait(PassingStore):
    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        return await super().wait(watches, 0)


class WaitsTooBriefly(PassingStore):
    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        return await super().wait(watches, timeout / 4)


class LooksAgainOnce(PassingStore):
    """It looks twice and then sleeps: who writes right after the question is found by luck."""

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        for _ in range(4):
            await checkpoint()
            if await super().wait(watches, 0):
                return True
        return await super().wait([], timeout)


class ReadsNoMoreThanAThousandEvents(PassingStore):
    """Behind so many events its log has an end."""

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        entries = tuple(entry for entry in page.entries if entry.ordinal < 1000)
        return evolve(page, entries=entries)


class ReadsTheLogInACircle(PassingStore):
    """The cursor of a page leads back to its beginning."""

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, limit)
        return (
            page if cursor is None else evolve(await super().read_log(None, limit), truncated=False)
        )
