"""The journal's entries, and their form in bytes.

An entry holds the events and increments of one commit, or a part of them, for one shard of the
log. A commit is journalled before it is applied. The first record that it puts keeps the entry's
proof, which shows that the commit was applied.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import CorruptRecord
from cicd_core.increments import Increment
from cicd_core.store.records import LogEntry
from cicd_core.values import frozen
from cicd_core_dynamodb.items import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cicd_core.store.records import Subject


#: The number of bytes for the length of the head, before the head.
_LENGTH: Final = 4
#: About how many bytes of the head an entry takes, and each event, increment and rank in it,
#: besides values of any length.
_ENTRY_BYTES: Final = 100
_EVENT_BYTES: Final = 60
_OTHER_BYTES: Final = 30


@frozen(kw_only=True)
class Entry:
    """The events and increments of a commit for one shard of the log."""

    #: Unique to an attempt to apply a commit and a shard; all parts of that attempt in that shard
    #: have the same one. The first byte is the shard.
    proof: bytes
    part: int
    #: The record that keeps the proof, and its version that the commit expects.
    anchor: Subject
    expected: int
    events: tuple[LogEntry, ...] = ()
    increments: tuple[Increment, ...] = ()
    #: Each subject of the entry, with the version after which its events come.
    ranks: tuple[tuple[Subject, int], ...] = ()

    @property
    def name(self) -> tuple[bytes, int]:
        """Its unique name."""
        return self.proof, self.part

    @property
    def size(self) -> int:
        """Its approximate size in bytes."""
        names = [*self.anchor, *(increment.name for increment in self.increments)]
        names += [name for subject, _ in self.ranks for name in subject]
        return (
            _ENTRY_BYTES
            + sum(len(event.body) + len(event.key) + _EVENT_BYTES for event in self.events)
            + sum(len(name) + _OTHER_BYTES for name in names)
        )


def encode(entries: Sequence[Entry]) -> bytes:
    """Return entries as bytes: a head that describes them, then all bodies."""
    head = json.dumps([_head(entry) for entry in entries], separators=(",", ":")).encode()
    bodies = b"".join(event.body for entry in entries for event in entry.events)
    return pack(len(head).to_bytes(_LENGTH, "big") + head + bodies)


def decode(packed: bytes) -> list[Entry]:
    """Return the entries in the bytes of :func:`encode`.

    Raises:
        CorruptRecord: the bytes do not decode.
    """
    try:
        data = unpack(packed)
        length = int.from_bytes(data[:_LENGTH], "big")
        head = json.loads(data[_LENGTH : _LENGTH + length])
        return list(_entries(head, data[_LENGTH + length :]))
    except (ValueError, KeyError, IndexError, TypeError) as broken:
        raise CorruptRecord("journal", "an entry", f"{type(broken).__name__}: {broken}") from broken


def _head(entry: Entry) -> dict[str, Any]:
    return {
        "p": entry.proof.hex(),
        "n": entry.part,
        "a": entry.anchor,
        "x": entry.expected,
        "e": [
            [event.collection, event.key, event.version, event.ordinal, len(event.body)]
            for event in entry.events
        ],
        "i": [[increment.name, increment.amount] for increment in entry.increments],
        "r": [[*subject, version] for subject, version in entry.ranks],
    }


def _entries(heads: Iterable[dict[str, Any]], bodies: bytes) -> Iterable[Entry]:
    begin = 0
    for head in heads:
        events: list[LogEntry] = []
        for collection, key, version, ordinal, length in head["e"]:
            body = bodies[begin : begin + length]
            begin += length
            events.append(
                LogEntry(
                    collection=collection, key=key, version=version, ordinal=ordinal, body=body
                )
            )
        collection, key = head["a"]
        yield Entry(
            proof=bytes.fromhex(head["p"]),
            part=head["n"],
            anchor=(collection, key),
            expected=head["x"],
            events=tuple(events),
            increments=tuple(Increment(name, amount) for name, amount in head["i"]),
            ranks=tuple(((collection, key), version) for collection, key, version in head["r"]),
        )
