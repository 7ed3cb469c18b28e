"""The journal: the log entries of a commit are durable before the commit is applied.

Each shard of the log has a stream of journal items, ordered by the store's time. A commit whose
item was not acknowledged within ``DELAY`` of that time is not sent, and one whose turn comes later
is journalled again. So all items older than ``RIPE`` exist, and a reader that continues from there
misses none; see :mod:`cicd_core_dynamodb.log_times`.
"""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cicd_core.errors import StoreUnavailable
from cicd_core.model.instants import SECOND
from cicd_core.store.records import LogEntry, Put
from cicd_core.store.semantics import subject_of
from cicd_core.values import evolve
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.entries import Entry, encode
from cicd_core_dynamodb.items import binary, number, text
from cicd_core_dynamodb.log_times import DELAY, keeps_for
from cicd_core_dynamodb.server_clock import UNCERTAIN
from cicd_core_dynamodb.tables import JOURNAL, PLACE_KEY, STREAM_KEY, TTL_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cicd_core.ids import IdSource
    from cicd_core.store.records import Commit, StoreTime, Subject
    from cicd_core_dynamodb.calls import Calls
    from cicd_core_dynamodb.elapsed import Stopwatch

Portioned = TypeVar("Portioned")

#: The attribute with the entries of an item.
DATA: Final = "D"
#: About the most bytes of entries in one item, unless a single one has more.
_ITEM_BYTES: Final = 64 * 1024
#: The most bytes of the events, or of the names of the counters, in one entry. With its other
#: data, and one larger event, it must fit into an item of 400 KB.
_PORTION_BYTES: Final = 64 * 1024


class Journal:
    """The streams of one namespace, for writers."""

    def __init__(
        self, calls: Calls, ids: IdSource, *, namespace: str, shards: int, retention: int
    ) -> None:
        """Write to this many shards; an event stays in the log for ``retention`` µs."""
        self._calls = calls
        self._ids = ids
        self._namespace = namespace
        self._shards = shards
        self._retention = retention

    @property
    def shards(self) -> int:
        """The number of shards of the log."""
        return self._shards

    def stream(self, kind: str, shard: int) -> str:
        """Return the name of a stream: ``w`` the journal, ``d`` the log, ``c`` counters."""
        return f"{self._namespace}|{kind}|{shard}"

    async def write(
        self,
        commits: Sequence[tuple[Commit, Mapping[Subject, int]]],
        now: StoreTime,
        since: Stopwatch,
    ) -> list[tuple[bytes, ...]]:
        """Journal commits, each with the versions that it will give; return the proofs of each.

        Args:
            commits: the commits; one without events and increments has no proofs.
            now: the time of their places in the journal.
            since: a stopwatch that was started before ``now`` was read.

        Raises:
            StoreUnavailable: it took too long; the commits must not be sent.
        """
        if now.uncertainty > UNCERTAIN:
            raise StoreUnavailable("the store's time is too uncertain to write to the log")
        proofs: list[tuple[bytes, ...]] = []
        waiting: dict[int, list[Entry]] = {}
        for commit, versions in commits:
            is_logged = commit.events or commit.increments
            entries = self._entries(commit, versions) if is_logged else []
            proofs.append(tuple(sorted({entry.proof for _, entry in entries})))
            for shard, entry in entries:
                waiting.setdefault(shard, []).append(entry)
        items = [
            self._item(shard, some, now)
            for shard, those in waiting.items()
            for some in _parcels(those)
        ]
        await all_of(partial(self._calls, "put_item", **item) for item in items)
        if since.seconds > DELAY:
            raise StoreUnavailable("the journal was too slow; nothing was written")
        return proofs

    def _entries(self, commit: Commit, versions: Mapping[Subject, int]) -> list[tuple[int, Entry]]:
        """Return a commit's entries with their shards; a subject's events are in one shard."""
        anchor = next(write for write in commit.writes if isinstance(write, Put))
        empty = Entry(proof=b"", part=0, anchor=subject_of(anchor), expected=anchor.expected)
        entries: list[tuple[int, Entry]] = []
        for shard, events in self._by_shard(commit, versions).items():
            entries += [(shard, evolve(empty, events=some)) for some in _portions(events, _body)]
        shard = self._shard(empty.anchor)
        for some in _portions(commit.increments, lambda item: len(item.name.encode())):
            at = next(
                (
                    n
                    for n, (where, entry) in enumerate(entries)
                    if where == shard and not entry.increments
                ),
                None,
            )
            if at is None:
                entries.append((shard, evolve(empty, increments=some)))
            else:
                entries[at] = (shard, evolve(entries[at][1], increments=some))
        ranks = _ranks(commit, versions)
        attempt = bytes.fromhex(self._ids.commit_id())[:8]
        return [
            (
                shard,
                evolve(
                    entry,
                    proof=bytes([shard]) + attempt,
                    part=part,
                    ranks=_last_ranks(entry, ranks),
                ),
            )
            for part, (shard, entry) in enumerate(entries)
        ]

    def _by_shard(
        self, commit: Commit, versions: Mapping[Subject, int]
    ) -> dict[int, list[LogEntry]]:
        shards: dict[int, list[LogEntry]] = {}
        for event in commit.events:
            subject = (event.collection, event.key)
            logged = LogEntry(
                collection=event.collection,
                key=event.key,
                version=event.version or versions[subject],
                ordinal=event.ordinal,
                body=event.body,
            )
            shards.setdefault(self._shard(subject), []).append(logged)
        return shards

    def _shard(self, subject: Subject) -> int:
        return zlib.crc32("|".join(subject).encode()) % self._shards

    def _item(self, shard: int, entries: Sequence[Entry], now: StoreTime) -> dict[str, Any]:
        place = f"{now.micros:016d}{self._ids.commit_id()}"
        dropped = (now.micros + keeps_for(self._retention)) // SECOND
        return {
            "TableName": self._calls.table(JOURNAL.name),
            "Item": {
                STREAM_KEY: text(self.stream("w", shard)),
                PLACE_KEY: text(place),
                DATA: binary(encode(entries)),
                TTL_ATTRIBUTE: number(dropped),
            },
        }


def _ranks(commit: Commit, versions: Mapping[Subject, int]) -> dict[Subject, int]:
    """Return the version of each record after the commit; for a deletion, the next version."""
    ranks = dict(versions)
    for write in commit.writes:
        if not isinstance(write, Put):
            ranks[subject_of(write)] = write.expected + 1
    return ranks


def _last_ranks(entry: Entry, ranks: Mapping[Subject, int]) -> tuple[tuple[Subject, int], ...]:
    last: dict[Subject, int] = {}
    for event in entry.events:
        subject = (event.collection, event.key)
        last[subject] = max(last.get(subject, 0), ranks.get(subject, event.version))
    return tuple(last.items())


def _body(event: LogEntry) -> int:
    return len(event.body)


def _portions(
    those: Sequence[Portioned], size_of: Callable[[Portioned], int]
) -> Iterable[tuple[Portioned, ...]]:
    """Split the events, or the increments, of a commit, so that each portion fits into an item."""
    portion: list[Portioned] = []
    size = 0
    for item in those:
        if portion and size + size_of(item) > _PORTION_BYTES:
            yield tuple(portion)
            portion, size = [], 0
        portion.append(item)
        size += size_of(item)
    if portion:
        yield tuple(portion)


def _parcels(entries: Sequence[Entry]) -> Iterable[list[Entry]]:
    """Group the entries of several commits into items."""
    parcel: list[Entry] = []
    size = 0
    for entry in entries:
        if parcel and size + entry.size > _ITEM_BYTES:
            yield parcel
            parcel, size = [], 0
        parcel.append(entry)
        size += entry.size
    if parcel:
        yield parcel
