"""Converts records to items of their tables, and back. All names of attributes are defined here.

An item has the record's own attributes under their names: a partition attribute as
``namespace|shard|value``, so that it can be the key of an index, and a sort attribute unchanged.
All other names are one or two capital letters, since names count in the size of an item::

    K  key: namespace|key          H  lease: the holder's claim id
    V  version                     HG lease: granted (µs)
    G  version of the last commit  HR lease: renewed (µs)
    C  id of the last commit       HE lease: expires (µs)
    D  body                        HL lease: limit (µs)
    R  grant                       HM lease limit of the record (µs)
    E  proofs: the ids of the      X  expires_at (µs)
       journal's entries that      T  when DynamoDB may drop the item (s)
       this record's commits made  Z  when it was deleted (µs), or its version at
                                      that time, if that is more; only E is left

No name is a type of DynamoDB (S, N, B, L, M and so on), which would confuse some engines.
"""

from __future__ import annotations

import logging
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cicd_core.errors import CorruptRecord
from cicd_core.model.instants import SECOND
from cicd_core.store.records import Collection, Lease, Record
from cicd_core.values import frozen
from cicd_core_dynamodb.log_times import KEPT
from cicd_core_dynamodb.tables import (
    EXPIRY,
    LEASE_LIMIT,
    RECORD_KEY,
    TTL_ATTRIBUTE,
    hot_partitions,
    projected,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from cicd_core.store.records import Index, Put
    from cicd_core_dynamodb.calls import Item, Value

_log = logging.getLogger(__name__)

KEY, TTL = RECORD_KEY, TTL_ATTRIBUTE
VERSION, GIVEN, COMMIT, BODY, GRANT = "V", "G", "C", "D", "R"
LEASE, GRANTED, RENEWED, EXPIRES, LIMIT = "H", "HG", "HR", "HE", "HL"
PROOFS, DELETED = "E", "Z"
#: All attributes of a live record besides those of indexes, its key and its proofs.
OWN: Final = (
    VERSION,
    GIVEN,
    COMMIT,
    BODY,
    GRANT,
    LEASE,
    GRANTED,
    RENEWED,
    EXPIRES,
    LIMIT,
    LEASE_LIMIT,
    EXPIRY,
    TTL,
    DELETED,
)

#: The attributes of a record, besides its key, that the copy to the log reads: it reads no others,
#: and roles that may not see a record may see these.
PROVING: Final = (VERSION, DELETED, PROOFS, EXPIRY)
_PLAIN, _DEFLATED = b"\0", b"\1"
#: Below this size, compressing a body saves less than it costs.
_SMALL: Final = 128


def number(value: int) -> Value:
    """Return a number in DynamoDB's form."""
    return {"N": str(value)}


def text(value: str) -> Value:
    """Return a text in DynamoDB's form."""
    return {"S": value}


def binary(value: bytes) -> Value:
    """Return bytes in DynamoDB's form."""
    return {"B": value}


def optional_number(item: Item, name: str) -> int | None:
    """Return a number of an item; None: the item has no such attribute."""
    return int(item[name]["N"]) if name in item else None


def proofs_of(item: Item | None) -> frozenset[bytes]:
    """Return the proofs in a record's item; none if the value is not a set of bytes."""
    proofs = {} if item is None else item.get(PROOFS, {})
    return frozenset(bytes(proof) for proof in proofs.get("BS", ()))


def shown_number(item: Item, name: str) -> int | None:
    """Return a number of an item; None: it is missing or damaged, which must not stop others."""
    try:
        return optional_number(item, name)
    except (KeyError, ValueError, TypeError):
        return None


def drop_after(expires_at: int, now: int) -> Value:
    """Return when DynamoDB may remove an item that is written now; both times are in µs."""
    return number(-(-max(expires_at, now) // SECOND) + KEPT)


def pack(data: bytes) -> bytes:
    """Return bytes in their stored form: a mark, then the data, compressed if that saves space."""
    if len(data) >= _SMALL:
        deflated = zlib.compress(data, 6, wbits=-15)
        if len(deflated) < len(data):
            return _DEFLATED + deflated
    return _PLAIN + data


def unpack(packed: bytes) -> bytes:
    """Return the bytes that :func:`pack` stored.

    Raises:
        ValueError: the value has another form.
    """
    mark, data = packed[:1], packed[1:]
    if mark == _PLAIN:
        return data
    if mark == _DEFLATED:
        try:
            return zlib.decompress(data, wbits=-15)
        except zlib.error as broken:
            raise ValueError(str(broken)) from broken
    raise ValueError(f"it begins with {mark!r}, which this version of the library does not write")


@frozen
class Seen:
    """The exact state under a record's key."""

    #: None: there is no item, or the record was deleted.
    record: Record | None
    #: The version that its last commit gave.
    given: int = 0
    #: The next record of that key has a version above this one; None: none was deleted.
    deleted: int | None = None
    #: The ids of the journal's entries whose commits were applied to it.
    proofs: frozenset[bytes] = frozenset()

    def live(self, now: int) -> Record | None:
        """Return the record, unless it is absent or has expired."""
        record = self.record
        if record is None or record.expires_at is None or record.expires_at > now:
            return record
        return None


@frozen
class HeldLease:
    """A lease, and the version of its record."""

    version: int
    lease: Lease


class Layout:
    """The items of one collection in one namespace."""

    def __init__(self, collection: Collection, namespace: str, shards: int) -> None:
        self.collection = collection
        self._namespace = namespace
        self._shards = shards
        self._hot = hot_partitions(collection)
        self._partitions = frozenset(index.partition for index in collection.indexes)

    def key(self, key: str) -> Value:
        """Return the value of an item's key."""
        return text(f"{self._namespace}|{key}")

    def record_key(self, item: Item) -> str:
        """Return the key of an item's record."""
        key: str = item[KEY]["S"]
        return key.split("|", 1)[1]

    def places(self, index: Index, value: str) -> list[str]:
        """Return the partitions of the table's index for one partition of the collection."""
        shards = range(self._shards if index.partition in self._hot else 1)
        return [f"{self._namespace}|{shard}|{value}" for shard in shards]

    def knows_expiry(self, index: Index) -> bool:
        """Whether the index has the expiry of a record and the limit of its leases."""
        return EXPIRY in projected(self.collection, index)

    def attribute(self, name: str, value: str, key: str) -> Value:
        """Return an attribute of a record in the form of its item."""
        if name not in self._partitions:
            return text(value)
        shard = zlib.crc32(key.encode()) % self._shards if name in self._hot else 0
        return text(f"{self._namespace}|{shard}|{value}")

    def attributes(self, record: Record | Put) -> dict[str, Value]:
        """Return all attributes of a record in the form of its item."""
        return {
            name: self.attribute(name, value, record.key)
            for name, value in record.attributes.items()
        }

    def written(self, record: Record) -> dict[str, Value]:
        """Return the values that every put writes, without key, lease and expiry."""
        return {
            VERSION: number(record.version),
            GIVEN: number(record.version),
            COMMIT: text(record.commit_id),
            BODY: binary(pack(record.body)),
            **self.attributes(record),
        }

    def seen(self, item: Item | None) -> Seen:
        """Return the state in an item.

        Raises:
            CorruptRecord: this version of the library does not understand the item.
        """
        if item is None:
            return Seen(None)
        with self._decoding(item):
            proofs = proofs_of(item)
            if VERSION not in item:
                return Seen(None, deleted=optional_number(item, DELETED), proofs=proofs)
            return Seen(self.record(item), given=int(item[GIVEN]["N"]), proofs=proofs)

    def record(self, item: Item) -> Record:
        """Return the record of an item.

        Raises:
            CorruptRecord: this version of the library does not understand the item.
        """
        with self._decoding(item):
            return Record(
                key=self.record_key(item),
                version=int(item[VERSION]["N"]),
                commit_id=item[COMMIT]["S"],
                body=unpack(item[BODY]["B"]),
                attributes=self._attributes_of(item),
                grant=item[GRANT]["B"] if GRANT in item else None,
                lease=_lease(item),
                lease_limit=optional_number(item, LEASE_LIMIT),
                expires_at=optional_number(item, EXPIRY),
            )

    def readable(self, found: Iterable[Item]) -> list[Seen]:
        """Return the states of the items that decode; log the others.

        A damaged item must not block the others of a page, a sweep or a claim.
        """
        seen: list[Seen] = []
        for item in found:
            try:
                seen.append(self.seen(item))
            except CorruptRecord as broken:
                left_alone(broken)
        return seen

    def lease(self, item: Item | None, now: int) -> HeldLease | None:
        """Return the lease on a live record, even if the rest is damaged; None: it has none.

        Raises:
            CorruptRecord: this version of the library does not understand the lease.
        """
        if item is None or VERSION not in item:
            return None
        with self._decoding(item):
            expires, lease = optional_number(item, EXPIRY), _lease(item)
            if lease is None or (expires is not None and expires <= now):
                return None
            return HeldLease(int(item[VERSION]["N"]), lease)

    @contextmanager
    def _decoding(self, item: Item) -> Generator[None, None, None]:
        """Name the record of an item that does not decode."""
        try:
            yield
        except (AttributeError, KeyError, ValueError, IndexError, TypeError) as broken:
            reason = f"{type(broken).__name__}: {broken}"
            raise CorruptRecord(self.collection.name, self.record_key(item), reason) from broken

    def _attributes_of(self, item: Item) -> dict[str, str]:
        return {
            name: item[name]["S"].split("|", 2)[2] if name in self._partitions else item[name]["S"]
            for name in self.collection.attributes
            if name in item
        }


def left_alone(broken: CorruptRecord) -> None:
    """Log a record that does not decode and is skipped."""
    _log.error("skipped: %s", broken)


def layouts(
    collections: tuple[Collection, ...], namespace: str, shards: int
) -> Mapping[str, Layout]:
    """Return the layout of each collection, by name."""
    return {collection.name: Layout(collection, namespace, shards) for collection in collections}


def layout_of(known: Mapping[str, Layout], namespace: str, name: str) -> Layout:
    """Return the layout of a collection; for one that this store does not know, only its keys."""
    return known.get(name) or Layout(Collection(name=name, indexes=()), namespace, 1)


def lease_values(lease: Lease) -> dict[str, Value]:
    """Return the attributes of a lease."""
    return {
        LEASE: text(lease.claim_id),
        GRANTED: number(lease.granted),
        RENEWED: number(lease.renewed),
        EXPIRES: number(lease.expires),
        LIMIT: number(lease.limit),
    }


def _lease(item: Item) -> Lease | None:
    if LEASE not in item:
        return None
    return Lease(
        claim_id=item[LEASE]["S"],
        granted=int(item[GRANTED]["N"]),
        renewed=int(item[RENEWED]["N"]),
        expires=int(item[EXPIRES]["N"]),
        limit=int(item[LIMIT]["N"]),
    )
