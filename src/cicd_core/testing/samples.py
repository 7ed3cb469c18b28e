"""The records of the suite: three small collections, and functions to write their records."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

from cicd_core.ids import IdSource
from cicd_core.store.records import (
    Claim,
    Collection,
    Commit,
    Committed,
    Delete,
    EventWrite,
    Index,
    Partition,
    Put,
    Query,
    Watch,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Conflict, Increment, LogEntry, LogPage, Record

#: One second, in the microseconds of the contract.
SECOND: Final = 1_000_000

READY: Final = Index("lane", "rank")
BY_STATE: Final = Index("state", "made-at")
TIMERS: Final = Index("timer", "due")
#: Records to claim, with a lease that an index follows.
ITEMS: Final = Collection(name="items", indexes=(READY, BY_STATE, TIMERS), lease_sort="due")

ON_SHELF: Final = Index("shelf", "place")
#: Records to list, which may have longer keys.
NOTES: Final = Collection(name="side-notes", indexes=(ON_SHELF,))

#: Records found only by key.
PLAIN: Final = Collection(name="plain", indexes=())

COLLECTIONS: Final = (ITEMS, NOTES, PLAIN)

IDS: Final = IdSource()
_numbers = count()


def item(
    key: str, *, expected: int = 0, lane: str | None = "main", rank: str = "5", **fields: Any
) -> Put:
    """Return a write of an item that waits in a lane; with None, it waits in none."""
    attributes = {"rank": f"{rank}:{key}", "state": "new", "made-at": f"0:{key}"}
    if lane is not None:
        attributes["lane"] = lane
    words: dict[str, Any] = {"body": f"body of {key}".encode(), "attributes": attributes, **fields}
    return Put(collection=ITEMS.name, key=key, expected=expected, **words)


def note(key: str, *, expected: int = 0, shelf: str = "top", **fields: Any) -> Put:
    """Return a write of a note on a shelf, at ``place_of(key)``."""
    words: dict[str, Any] = {
        "body": b"",
        "attributes": {"shelf": shelf, "place": place_of(key)},
        **fields,
    }
    return Put(collection=NOTES.name, key=key, expected=expected, **words)


def place_of(key: str) -> str:
    """Return the sort value of a note on its shelf."""
    return f":{key}"


def plain(key: str, *, expected: int = 0, **fields: Any) -> Put:
    """Return a write of a record in no index."""
    words: dict[str, Any] = {"body": b"", **fields}
    return Put(collection=PLAIN.name, key=key, expected=expected, **words)


def event_of(
    key: str, ordinal: int = 0, *, version: int | None = None, body: bytes = b""
) -> EventWrite:
    """Return an event of an item; without a version, it has the version of its commit."""
    return EventWrite(collection=ITEMS.name, key=key, version=version, ordinal=ordinal, body=body)


def commit(
    *writes: Put | Delete,
    events: Iterable[EventWrite] = (),
    increments: Iterable[Increment] = (),
    commit_id: str | None = None,
) -> Commit:
    """Return a commit, by default with a new id."""
    return Commit(
        commit_id=commit_id or f"commit-{next(_numbers)}",
        writes=writes,
        events=tuple(events),
        increments=tuple(increments),
    )


def claim(limit: int = 1, *, lanes: Iterable[str] = ("main",), **fields: Any) -> Claim:
    """Return a claim of items that takes them out of their lane, for 30 seconds."""
    words: dict[str, Any] = {
        "claim_id": IDS.claim_id(),
        "grant": b"granted",
        "duration": 30 * SECOND,
        "patch": {"lane": None, "state": "held"},
        **fields,
    }
    return Claim(collection=ITEMS.name, index=READY, partitions=tuple(lanes), limit=limit, **words)


def in_lane(lane: str = "main") -> Partition:
    """Return the partition of a lane."""
    return Partition(ITEMS.name, READY, lane)


def in_state(state: str) -> Partition:
    """Return the partition of a state."""
    return Partition(ITEMS.name, BY_STATE, state)


def on_shelf(shelf: str = "top") -> Partition:
    """Return the partition of a shelf."""
    return Partition(NOTES.name, ON_SHELF, shelf)


def watch(partition: Partition, after: str | None = None, turn: str | None = None) -> Watch:
    """Return a watch of a partition."""
    return Watch(partition, after, turn)


async def write(store: Store, *writes: Put | Delete, **rest: Any) -> dict[str, int]:
    """Commit, check that it was applied, and return the new versions by key."""
    answer = await apply(store, commit(*writes, **rest))
    assert isinstance(answer, Committed), f"it was refused: {answer}"
    return {key: version for (_, key), version in answer.versions.items()}


async def remove(store: Store, key: str, expected: int, collection: str = ITEMS.name) -> None:
    """Delete a record, with a put of another record, since a commit must have a put."""
    delete = Delete(collection=collection, key=key, expected=expected)
    await write(store, plain(f"beside-{next(_numbers)}"), delete)


async def apply(store: Store, one: Commit) -> Committed | Conflict:
    """Commit one commit, and return its answer."""
    (answer,) = await store.commit([one])
    return answer


async def read(store: Store, key: str, collection: str = ITEMS.name) -> Record:
    """Return a record that must exist."""
    record = await find(store, key, collection)
    assert record is not None, f"there is no {key!r}"
    return record


async def find(store: Store, key: str, collection: str = ITEMS.name) -> Record | None:
    """Return a record, or None."""
    return (await store.get(collection, [key])).get(key)


async def keys_in(store: Store, partition: Partition, *, descending: bool = False) -> list[str]:
    """Return the keys of a partition, in order: at most 1,000."""
    page = await store.page(Query(partition=partition, limit=1000, descending=descending))
    assert not page.more
    return [record.key for record in page.records]


async def numbers_in(store: Store, *partitions: Partition) -> list[int]:
    """Return how many records partitions hold."""
    return [number.number for number in await store.count(partitions)]


async def whole_log(store: Store, step: int = 1000) -> list[LogEntry]:
    """Return every entry of the log, read ``step`` at a time."""
    return [entry async for page in pages_of_log(store, step) for entry in page.entries]


async def pages_of_log(store: Store, step: int = 1000) -> AsyncGenerator[LogPage, None]:
    """Yield the pages of the log that have entries; fail if a cursor repeats."""
    cursors: set[str | None] = {None}
    page = await store.read_log(None, step)
    while page.entries:
        assert page.cursor not in cursors, f"the cursor {page.cursor!r} was given before"
        cursors.add(page.cursor)
        yield page
        page = await store.read_log(page.cursor, step)
