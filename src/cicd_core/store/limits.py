"""The limits of every store, checked before any I/O.

:class:`~cicd_core.store.retrying.RetryingStore` wraps every backend and uses :class:`Limits` first
in each verb; every backend can store all values that pass. These checks run on each call, so they
are as cheap as possible: a loop calls a function only for a value that is not of the usual form.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.store.records import (
    KEEP,
    MAX_COMMIT_BYTES,
    MAX_KEY_BYTES,
    MAX_RECORD_BYTES,
    MAX_WRITES,
    Put,
)
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cicd_core.store.records import (
        Claim,
        Collection,
        Commit,
        Delete,
        EventWrite,
        Index,
        Lease,
        Partition,
        Query,
        Renewal,
        Watch,
    )

#: The last instant that the 16 digits of a sort key can hold, in the year 2286. It is the limit of
#: a lease if neither the claim nor the record has one.
MAX_INSTANT: Final = 10**16 - 1
#: The longest duration in microseconds, about 31 years, so that now + duration stays an instant.
MAX_DURATION: Final = 10**15
#: The most records in one claim or page, and the most entries in one read of the log.
MAX_ITEMS: Final = 1000

#: The separator between a record's sort text and its key in a sort value. The first one ends the
#: text, so that two keys never share a value, whatever characters they have.
SORT_SEPARATOR: Final = ":"

#: A claim puts 16 digits and a colon before the key, which must also fit into an attribute.
_SORT_PREFIX: Final = 17
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def check_key(key: str, field: str = "key", *, limit: int = MAX_KEY_BYTES) -> int:
    """Return the UTF-8 bytes of a key, an attribute's value, a name or an id.

    Raises:
        InvalidInput: it is empty, or contains a lone surrogate.
        TooLarge: it has more than ``limit`` bytes.
    """
    size = len(key) if key.isascii() else _encoded_size(field, key)
    if size > limit:
        raise TooLarge(field, size, limit)
    if not size:
        raise InvalidInput(field, key, "give at least one character")
    return size


@frozen
class _Shape:
    """One collection, prepared for the checks."""

    collection: Collection
    attributes: frozenset[str]
    partitions: frozenset[str]
    sorts: frozenset[str]
    pairs: tuple[tuple[str, str], ...]
    max_key: int


class Limits:
    """The checks of one store with its collections."""

    def __init__(self, collections: Iterable[Collection]) -> None:
        """Prepare the checks for these collections.

        Raises:
            InvalidInput: two collections have the same name; a name is not ``[a-z][a-z0-9_-]*`` of
                at most 64 characters; an attribute is both a partition and a sort attribute; or
                ``lease_sort`` is not a sort attribute.
        """
        self._shapes: dict[str, _Shape] = {}
        for collection in collections:
            if collection.name in self._shapes:
                raise InvalidInput("collections", collection.name, "give each name only once")
            self._shapes[collection.name] = _shape(collection)

    @property
    def collections(self) -> tuple[Collection, ...]:
        """The collections, in the order given."""
        return tuple(shape.collection for shape in self._shapes.values())

    def collection(self, name: str) -> Collection:
        """Return the collection of that name.

        Raises:
            InvalidInput: there is no such collection.
        """
        return self._shape(name).collection

    def check_keys(self, collection: str, keys: Sequence[str]) -> None:
        """Check the arguments of ``get``.

        Raises:
            InvalidInput: the collection is unknown, or a key is not valid.
            TooLarge: a key is over its limit.
        """
        self._shape(collection)
        for key in keys:
            check_key(key)

    def check_commits(self, commits: Sequence[Commit]) -> None:
        """Check every commit of a list, so that a malformed one stops all of them.

        Raises:
            InvalidInput, TooLarge: as :meth:`check_commit`.
        """
        for commit in commits:
            self.check_commit(commit)

    def check_commit(self, commit: Commit) -> None:
        """Check one commit.

        Raises:
            InvalidInput: it has no Put, writes one record twice, names an unknown collection or
                attribute, breaks the rules of an index, expects an impossible version, or has an
                event without a version.
            TooLarge: it has more than 25 writes, or a value is over its limit of bytes.
        """
        check_key(commit.commit_id, "commit_id")
        if len(commit.writes) > MAX_WRITES:
            raise TooLarge("writes", len(commit.writes), MAX_WRITES, "writes")
        size = 0
        put: set[tuple[str, str]] = set()
        deleted: set[tuple[str, str]] = set()
        for write in commit.writes:
            size += self._check_write(write)
            subject = (write.collection, write.key)
            if subject in put or subject in deleted:
                raise InvalidInput("writes", subject, "a commit writes each record at most once")
            (put if isinstance(write, Put) else deleted).add(subject)
        if not put:
            raise InvalidInput("writes", commit.writes, "a commit writes at least one record")
        for event in commit.events:
            size += self._check_event(event, put)
        for increment in commit.increments:
            name, amount = increment.name, increment.amount
            if not (name.isascii() and 0 < len(name) <= MAX_KEY_BYTES):
                check_key(name, "increments.name")
            if type(amount) is not int or not -MAX_INSTANT <= amount <= MAX_INSTANT:
                _check_number("amount", amount, least=-MAX_INSTANT, most=MAX_INSTANT)
        if size > MAX_COMMIT_BYTES:
            raise TooLarge("commit", size, MAX_COMMIT_BYTES)

    def check_claim(self, claim: Claim) -> None:
        """Check one claim.

        Raises:
            InvalidInput: the limit is not 0 to 1,000; a duration is not above 0; the collection or
                the index is unknown; or the patch sets another attribute than a partition's.
            TooLarge: a value is over its limit of bytes.
        """
        shape = self._shape(claim.collection)
        _check_index(shape.collection, claim.index)
        check_key(claim.claim_id, "claim_id")
        for value in claim.partitions:
            check_key(value, "partitions")
        _check_number("limit", claim.limit, least=0, most=MAX_ITEMS)
        _check_number("duration", claim.duration, least=1, most=MAX_DURATION)
        _check_lease_limit(claim.lease_limit)
        _check_bytes("grant", claim.grant)
        for name, constant in claim.patch.items():
            if name not in shape.partitions:
                raise InvalidInput("patch", name, f"a claim sets only {_listed(shape.partitions)}")
            if constant is not None:
                check_key(constant, f"patch.{name}")

    def check_renewals(self, renewals: Sequence[Renewal]) -> None:
        """Check a list of renewals.

        Raises:
            InvalidInput: a collection is unknown, a key is not valid, or a duration is not above 0.
            TooLarge: a key is over its limit.
        """
        for renewal in renewals:
            self._shape(renewal.collection)
            check_key(renewal.key)
            check_key(renewal.claim_id, "claim_id")
            _check_number("duration", renewal.duration, least=1, most=MAX_DURATION)

    def check_query(self, query: Query) -> None:
        """Check one query for a page.

        Raises:
            InvalidInput: the limit is not 1 to 1,000, or the collection or the index is unknown.
            TooLarge: a bound is over its limit.
        """
        self.check_partition(query.partition)
        _check_number("limit", query.limit, least=1, most=MAX_ITEMS)
        for field, bound in (("after", query.after), ("before", query.before)):
            if bound:
                check_key(bound, field)

    def check_partition(self, partition: Partition) -> None:
        """Check that a partition is valid.

        Raises:
            InvalidInput: the collection or the index is unknown, or the value is not valid.
            TooLarge: the value is over its limit.
        """
        _check_index(self._shape(partition.collection).collection, partition.index)
        check_key(partition.value, "partition")

    def check_partitions(self, partitions: Iterable[Partition]) -> None:
        """Check the argument of ``count``.

        Raises:
            InvalidInput, TooLarge: as :meth:`check_partition`.
        """
        for partition in partitions:
            self.check_partition(partition)

    def check_watches(self, watches: Sequence[Watch], timeout: float) -> None:
        """Check the arguments of ``wait``.

        Raises:
            InvalidInput: a partition or a turn is not valid, or ``timeout`` is below 0 or not a
                number.
            TooLarge: a bound or a turn is over its limit.
        """
        if not timeout >= 0:  # in this form, it refuses NaN too
            raise InvalidInput("timeout", timeout, "give 0 or more seconds")
        for watch in watches:
            self.check_partition(watch.partition)
            if watch.after:
                check_key(watch.after, "after")
            if watch.turn is not None:
                check_key(watch.turn, "turn")

    def check_prefix(self, prefix: str) -> None:
        """Check the prefix of counter names; an empty one matches all of them.

        Raises:
            InvalidInput: it contains a lone surrogate.
            TooLarge: it is longer than a name may be.
        """
        if prefix:
            check_key(prefix, "prefix")

    def check_log_read(self, _cursor: str | None, limit: int) -> None:
        """Check the arguments of ``read_log``; only the backend can check a cursor.

        Raises:
            InvalidInput: ``limit`` is not 1 to 1,000.
        """
        _check_number("limit", limit, least=1, most=MAX_ITEMS)

    def _shape(self, name: str) -> _Shape:
        shape = self._shapes.get(name)
        if shape is None:
            raise InvalidInput("collection", name, f"this store has only {_listed(self._shapes)}")
        return shape

    def _check_write(self, write: Put | Delete) -> int:
        shape = self._shape(write.collection)
        if not (write.key.isascii() and 0 < len(write.key) <= shape.max_key):
            check_key(write.key, limit=shape.max_key)
        if not isinstance(write, Put):
            _check_number("expected", write.expected, least=1, most=MAX_INSTANT)
            return 0
        if type(write.expected) is not int or not 0 <= write.expected <= MAX_INSTANT:
            _check_number("expected", write.expected, least=0, most=MAX_INSTANT)
        if write.expires_at is not None:
            _check_number("expires_at", write.expires_at, least=0, most=MAX_INSTANT)
        _check_lease_limit(write.lease_limit)
        if write.lease is not KEEP and write.lease is not None:
            _check_lease(write.lease)
        _check_attributes(shape, write.key, write.attributes)
        return _check_bytes("body", write.body)

    def _check_event(self, event: EventWrite, put: set[tuple[str, str]]) -> int:
        if event.version is None:
            if (event.collection, event.key) not in put:
                reason = "this commit does not write it; give the version that it wrote"
                raise InvalidInput("events", (event.collection, event.key), reason)
        else:
            self._shape(event.collection)
            if not (event.key.isascii() and 0 < len(event.key) <= MAX_KEY_BYTES):
                check_key(event.key, "events.key")
            if type(event.version) is not int or not 1 <= event.version <= MAX_INSTANT:
                _check_number("events.version", event.version, least=1, most=MAX_INSTANT)
        if type(event.ordinal) is not int or not 0 <= event.ordinal <= MAX_INSTANT:
            _check_number("events.ordinal", event.ordinal, least=0, most=MAX_INSTANT)
        size = len(event.body)
        if size > MAX_RECORD_BYTES:
            raise TooLarge("events.body", size, MAX_RECORD_BYTES)
        return size


def _shape(collection: Collection) -> _Shape:
    partitions = frozenset(index.partition for index in collection.indexes)
    sorts = frozenset(index.sort for index in collection.indexes)
    for name in (collection.name, *sorted(partitions | sorts)):
        if not _NAME.fullmatch(name):
            raise InvalidInput("collections", name, "give up to 64 characters [a-z][a-z0-9_-]*")
    if partitions & sorts:
        reason = "an attribute is a partition or a sort attribute, not both"
        raise InvalidInput("collections", sorted(partitions & sorts), reason)
    if collection.lease_sort is not None and collection.lease_sort not in sorts:
        raise InvalidInput("lease_sort", collection.lease_sort, f"choose one of {_listed(sorts)}")
    return _Shape(
        collection=collection,
        attributes=partitions | sorts,
        partitions=partitions,
        sorts=sorts,
        pairs=tuple((index.partition, index.sort) for index in collection.indexes),
        max_key=MAX_KEY_BYTES - (_SORT_PREFIX if collection.lease_sort else 0),
    )


def _check_attributes(shape: _Shape, key: str, attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        if name not in shape.attributes:
            reason = f"the indexes of {shape.collection.name!r} use {_listed(shape.attributes)}"
            raise InvalidInput("attributes", name, reason)
        if not (value.isascii() and 0 < len(value) <= MAX_KEY_BYTES):
            check_key(value, f"attributes.{name}")
        if name in shape.sorts and value.partition(SORT_SEPARATOR)[2] != key:
            reason = f"the part after its first {SORT_SEPARATOR!r} must be the record's key {key!r}"
            raise InvalidInput(f"attributes.{name}", value, reason)
    for partition, sort in shape.pairs:
        if partition in attributes and sort not in attributes:
            reason = f"a record that has {partition!r} must have {sort!r} too"
            raise InvalidInput("attributes", partition, reason)


def _check_index(collection: Collection, index: Index) -> None:
    if index not in collection.indexes:
        known = _listed(item.name for item in collection.indexes)
        raise InvalidInput("index", index.name, f"{collection.name!r} has {known}")


def _check_bytes(field: str, body: bytes) -> int:
    if len(body) > MAX_RECORD_BYTES:
        raise TooLarge(field, len(body), MAX_RECORD_BYTES)
    return len(body)


def _check_lease(lease: Lease) -> None:
    check_key(lease.claim_id, "claim_id")
    _check_number("lease.granted", lease.granted, least=0, most=MAX_INSTANT)
    _check_number("lease.renewed", lease.renewed, least=0, most=MAX_INSTANT)
    _check_number("lease.limit", lease.limit, least=0, most=MAX_INSTANT)
    _check_number("lease.expires", lease.expires, least=0, most=lease.limit)


def _check_lease_limit(limit: int | None) -> None:
    if limit is not None:
        _check_number("lease_limit", limit, least=1, most=MAX_DURATION)


def _check_number(field: str, number: int, *, least: int, most: int) -> None:
    # Python does not enforce annotations, and each store would treat 1.5 differently.
    is_whole = type(number) is int or (isinstance(number, int) and not isinstance(number, bool))
    if not is_whole or not least <= number <= most:
        raise InvalidInput(field, number, f"give a whole number from {least} to {most}")


def _encoded_size(field: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        reason = "it contains a lone surrogate, which is not a character"
        raise InvalidInput(field, text, reason) from None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
