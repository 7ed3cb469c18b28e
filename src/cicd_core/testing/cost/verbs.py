"""The measured calls: one of each verb, as the services use them."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

from cicd_core.store.records import Committed, Increment, Query, Renewal
from cicd_core.testing.samples import (
    ITEMS,
    SECOND,
    claim,
    commit,
    event_of,
    in_lane,
    in_state,
    item,
    watch,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Record

#: Records per commit, and commits per call, while filling the store.
_PUTS: Final = 20
_COMMITS: Final = 25
#: Number of records that are read and written.
_PLACES: Final = 50
#: Length of a lease: longer than any run.
_LEASE: Final = 86_400 * SECOND
_LANE: Final = "main"


class Filled:
    """A store with a number of records in one lane, and the calls measured on it.

    Each call leaves the number of records and the depth of the lane unchanged, or changes it by
    a few, which does not matter among thousands.
    """

    def __init__(self, store: Store, size: int) -> None:
        self.size = size
        self._store = store
        self._numbers = count()
        self._held: list[Record] = []
        self._cursor: str | None = None

    async def fill(self, report: Callable[[int], object]) -> None:
        """Put all records, with an event and an increment each; report their number."""
        done = 0
        while done < self.size:
            keys = [f"{number:012}" for number in range(done, min(self.size, done + _CALL))]
            parts = [keys[at : at + _PUTS] for at in range(0, len(keys), _PUTS)]
            await self._store.commit([_batch(part) for part in parts])
            done += len(keys)
            report(done)
        self._held = await self._store.claim(claim(1, duration=_LEASE))
        self._cursor = (await self._store.read_log(None, 100)).cursor

    @property
    def calls(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """The calls, by the verb and their special case."""
        return {
            "now": self._store.now,
            "get of 10": self._get,
            "commit of a new record": self._create,
            "commit of an existing record": self._update,
            "claim": self._claim,
            "claim again": self._claim_again,
            "claim of nothing": self._claim_nothing,
            "renew": self._renew,
            "page of 50, the first": self._first_page,
            "page of 50, in the middle": self._middle_page,
            "count": self._count,
            "counters": self._counters,
            "read_log of 100": self._read_log,
            "wait for existing work": self._wait,
        }

    def _key(self) -> str:
        """Return the next of some keys in the second half of the lane.

        They are few, so caches have them soon: a slow disk must not count as growth.
        """
        place = next(self._numbers) % _PLACES
        return f"{self.size - 1 - place * self.size // (2 * _PLACES):012}"

    async def _get(self) -> None:
        await self._store.get(ITEMS.name, [self._key() for _ in range(10)])

    async def _create(self) -> None:
        key = f"new-{next(self._numbers)}"
        await self._insist(_batch([key], lane=f"beside {key}"))

    async def _update(self) -> None:
        key = self._key()
        record = (await self._store.get(ITEMS.name, [key]))[key]
        put = item(key, expected=record.version, rank=key)
        await self._insist(commit(put, events=[event_of(key)], increments=[Increment("cost|all")]))

    async def _insist(self, one: Commit) -> None:
        (answer,) = await self._store.commit([one])
        assert isinstance(answer, Committed), answer

    async def _claim(self) -> None:
        self._held = await self._store.claim(claim(1, duration=_LEASE))

    async def _claim_again(self) -> None:
        lease = self._held[0].lease
        assert lease is not None
        await self._store.claim(claim(1, claim_id=lease.claim_id, duration=_LEASE))

    async def _claim_nothing(self) -> None:
        await self._store.claim(claim(1, lanes=["nothing"]))

    async def _renew(self) -> None:
        (record,) = self._held
        assert record.lease is not None
        renewal = Renewal(
            collection=ITEMS.name,
            key=record.key,
            claim_id=record.lease.claim_id,
            duration=_LEASE,
        )
        await self._store.renew([renewal])

    async def _first_page(self) -> None:
        await self._store.page(Query(partition=in_lane(_LANE), limit=50))

    async def _middle_page(self) -> None:
        key = f"{self.size // 2:012}"
        await self._store.page(Query(partition=in_lane(_LANE), limit=50, after=f"{key}:{key}"))

    async def _count(self) -> None:
        await self._store.count([in_lane(_LANE), in_state("new"), in_state("held")])

    async def _counters(self) -> None:
        await self._store.counters("cost|")

    async def _read_log(self) -> None:
        await self._store.read_log(self._cursor, 100)

    async def _wait(self) -> None:
        await self._store.wait([watch(in_lane(_LANE))], 0)


_CALL: Final = _PUTS * _COMMITS


def _batch(keys: list[str], lane: str = _LANE) -> Commit:
    """Return a commit of new records, whose ranks are their keys."""
    puts = [item(key, lane=lane, rank=key) for key in keys]
    return commit(
        *puts,
        events=[event_of(key) for key in keys],
        increments=[Increment("cost|all", len(keys))],
    )
