"""Encodes the contract's values as arguments of scripts, and decodes the scripts' answers.

The head of each script's file in ``lua/`` documents its arguments and its answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import hiredis

from cicd_core.errors import CorruptRecord, StoreError
from cicd_core.store.records import (
    KEEP,
    Committed,
    Conflict,
    Guard,
    Lease,
    Put,
    Record,
    Renewed,
)
from cicd_core_redis.keys import group_of, index_prefix
from cicd_core_redis.scripts import Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.store.records import (
        Claim,
        Collection,
        Commit,
        Delete,
        EventWrite,
        Renewal,
    )

#: An argument of a script.
Argument = bytes | str | int
#: A script's answer: RESP has integers, byte strings, nulls and lists of these.
Answer = Any

#: The position of the first attribute in a header; see ``lua/records.lua``.
_ATTRIBUTES: Final = 11
#: The commit ids of the library, and a byte that no UTF-8 text begins with.
_OWN_ID: Final = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_OWN: Final = b"\xff"
#: The first value of a commit's answer if an increment is refused; see ``lua/commit.lua``.
_NO_INCREMENT: Final = -2
#: The first value of a commit's answer if a key has another type than the store gave it.
_NOT_OURS: Final = -3

#: The first value of a claim's answer if nothing could be claimed.
_REFUSED: Final = -1
_RESTORE_THE_KEY: Final = (
    "another program wrote the key: restore it from a backup, or rename it, and repeat "
    "the call with the same id"
)

_hiredis: Any = hiredis
#: The types of hiredis are wrong: they allow a tuple of one, and have no type for the answer.
_pack: Callable[[tuple[Argument, ...]], bytes] = _hiredis.pack_command


def packed(arguments: Iterable[Argument]) -> bytes:
    """Return arguments as they are sent, without their number."""
    data = _pack(tuple(arguments))
    return data[data.index(b"\n") + 1 :]


class Codec:
    """The translation for one store's collections."""

    def __init__(self, collections: Sequence[Collection]) -> None:
        self._attributes = {collection.name: collection.attributes for collection in collections}
        self._positions = {
            item.name: {name: at for at, name in enumerate(item.attributes, start=1)}
            for item in collections
        }

    def commit(self, commit: Commit) -> list[Argument]:
        """Return a commit as arguments."""
        arguments: list[Argument] = [
            _stored_id(commit.commit_id),
            len(commit.writes),
            len(commit.events),
            len(commit.increments),
        ]
        for write in commit.writes:
            self._write(arguments, write)
        for event in commit.events:
            _event(arguments, event)
        for increment in commit.increments:
            arguments += (group_of(increment.name), increment.name, increment.amount)
        return arguments

    def claim(self, claim: Claim) -> list[Argument]:
        """Return a claim as arguments."""
        positions = self._positions[claim.collection]
        partitions = tuple(dict.fromkeys(claim.partitions))
        arguments: list[Argument] = [
            claim.claim_id,
            claim.collection,
            index_prefix(claim.collection, claim.index),
            claim.limit,
            claim.duration,
            _optional(claim.lease_limit),
            claim.grant,
            len(claim.patch),
        ]
        for name, value in claim.patch.items():
            arguments += (positions[name], value or "")
        return [*arguments, len(partitions), *partitions]

    def record(self, collection: str, answer: Answer) -> Record:
        """Return the record that a script answered."""
        key, body, header = answer
        version, _, commit_id, expires_at, lease_limit, *lease, grant = header[:_ATTRIBUTES]
        names = self._attributes[collection]
        return Record(
            key=key.decode(),
            version=version,
            commit_id=_plain_id(commit_id),
            body=body,
            attributes={
                name: value.decode()
                for name, value in zip(names, header[_ATTRIBUTES:], strict=True)
                if value
            },
            grant=grant,
            lease=_lease(*lease),
            lease_limit=int(lease_limit) if lease_limit else None,
            expires_at=int(expires_at) if expires_at else None,
        )

    def _write(self, arguments: list[Argument], write: Put | Delete) -> None:
        guarded = "1" if write.guard is Guard.LEASE_EXPIRED else ""
        if not isinstance(write, Put):
            arguments += ("d", write.collection, write.key, write.expected, guarded)
            return
        arguments += ("p", write.collection, write.key, write.expected, guarded, write.body)
        lease = write.lease
        if lease is KEEP:
            arguments.append("k")
        elif lease is None:
            arguments.append("n")
        else:
            arguments += ("l", lease.claim_id, lease.granted, lease.renewed)
            arguments += (lease.expires, lease.limit)
        arguments += (_optional(write.lease_limit), _optional(write.expires_at))
        attributes = write.attributes
        arguments += [attributes.get(name, "") for name in self._attributes[write.collection]]


def _stored_id(commit_id: str) -> bytes:
    """Return the id of a commit as it is in a header: an id of the library as bytes."""
    if _OWN_ID.fullmatch(commit_id):
        return _OWN + bytes.fromhex(commit_id)
    return commit_id.encode()


def _plain_id(stored: bytes) -> str:
    return stored[1:].hex() if stored.startswith(_OWN) else stored.decode()


def _lease(
    claim_id: bytes, granted: bytes, renewed_at: bytes, expires: bytes, limit: bytes
) -> Lease | None:
    if not claim_id:
        return None
    return Lease(
        claim_id=claim_id.decode(),
        granted=int(granted),
        renewed=int(renewed_at),
        expires=int(expires),
        limit=int(limit),
    )


def verbs_of(commits: Sequence[Commit]) -> list[Verb]:
    """Return the script of each commit: a full server refuses those that create records.

    Calls of two scripts have no order. If two commits of a list write the same record, their order
    matters, so all commits use the script that takes any commit.
    """
    verbs = [_verb_of(commit) for commit in commits]
    if len(set(verbs)) > 1 and _meet(commits):
        return [Verb.COMMIT] * len(verbs)
    return verbs


def _verb_of(commit: Commit) -> Verb:
    creates = any(write.expected == 0 for write in commit.writes if isinstance(write, Put))
    return Verb.COMMIT if creates else Verb.CHANGE


def _meet(commits: Sequence[Commit]) -> bool:
    """Whether two of the commits write one record."""
    subjects = [(write.collection, write.key) for commit in commits for write in commit.writes]
    return len(set(subjects)) < len(subjects)


def renewal_arguments(renewal: Renewal) -> list[Argument]:
    """Return a renewal as arguments."""
    return [renewal.collection, renewal.key, renewal.claim_id, renewal.duration]


def outcome(commit: Commit, answer: Answer) -> Committed | Conflict:
    """Return the result of a commit.

    Raises:
        CorruptRecord: a record that it writes does not decode; it was not applied.
        StoreError: a counter does not take its increment, or a key has another type than the store
            gave it; it was not applied.
    """
    if answer[0] == 1:
        puts = [write for write in commit.writes if isinstance(write, Put)]
        versions = zip(puts, answer[1:], strict=True)
        return Committed({(put.collection, put.key): version for put, version in versions})
    if answer[0] == 0:
        positions: Sequence[int] = answer[1:]
        writes = [commit.writes[position - 1] for position in positions]
        return Conflict(tuple((write.collection, write.key) for write in writes))
    position, reason = int(answer[1]), bytes(answer[2]).decode(errors="replace")
    if answer[0] == _NOT_OURS:
        raise StoreError(f"{reason}: the commit was not applied; {_RESTORE_THE_KEY}")
    if answer[0] == _NO_INCREMENT:
        name = commit.increments[position - 1].name
        raise StoreError(
            f"the counter {name!r} rejects the increment ({reason}): the commit was not applied; "
            f"a counter holds 64 bits"
        )
    corrupt = commit.writes[position - 1]
    raise CorruptRecord(corrupt.collection, corrupt.key, reason)


def claimed(answer: Answer) -> tuple[bool, Sequence[Answer]]:
    """Return whether a claim is a repetition, and the answers for its records.

    Raises:
        StoreError: the key of the claim's records has another type than the store gave it.
    """
    first, *found = answer
    if first == _REFUSED:
        reason = bytes(found[0]).decode(errors="replace")
        raise StoreError(f"{reason}: nothing was granted; {_RESTORE_THE_KEY}")
    return bool(first), found


def renewed(answer: Answer) -> Renewed | None:
    """Return the result of a renewal."""
    if len(answer) <= 1:  # empty, or the reason why the record does not decode
        return None
    version, last, expires, limit = answer
    return Renewed(version=version, renewed=int(last), expires=int(expires), limit=int(limit))


def _event(arguments: list[Argument], event: EventWrite) -> None:
    version = "" if event.version is None else event.version
    arguments += (event.collection, event.key, version, event.ordinal, event.body)


def _optional(number: int | None) -> Argument:
    return "" if number is None else number
