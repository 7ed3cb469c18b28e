"""The tables and indexes that the collections need: one definition, for the library and all tools.

Each collection has a table, named ``<prefix><collection>``. One more, ``<prefix>journal``, has all
other data: the journal and the log, counters, the marks of claims, the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.store.records import Index
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.store.records import Collection

#: The attribute of DynamoDB's own retention, in every table: seconds since 1970.
TTL_ATTRIBUTE: Final = "T"
#: The key of a record's item.
RECORD_KEY: Final = "K"
#: The keys of the journal's items: a stream of items, and the place of one in it.
STREAM_KEY: Final = "P"
PLACE_KEY: Final = "Q"
#: When a record expires, and how long a lease on it may last. The indexes for claims, counts and
#: sweeps have these attributes, so that the records themselves need not be read.
EXPIRY: Final = "X"
LEASE_LIMIT: Final = "HM"

#: The projected attributes of the domain's own collections that need fewer than an unknown
#: collection. Each projected attribute costs a write unit whenever only that attribute changes.
_NARROW: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("jobs", "agent_id-created_at-index"): (),
    ("jobs", "dead_letter-created_at-index"): (),
    ("jobs", "status-created_at-index"): (EXPIRY, "pool_status"),
    ("jobs", "timer-due-index"): (EXPIRY,),
}
#: Indexes of the domain's collections that a table does not have, since they would cost a write
#: unit or two with each step of a job. Each of their partitions, ``…|VALUE``, is a part of the
#: partition ``VALUE`` of another index in the same order, which is filtered by the attribute.
_PARTS: Final[dict[tuple[str, str], Index]] = {
    ("jobs", "pool_status-created_at-index"): Index("status", "created_at"),
}
#: The partitions of the domain's collections that few records share.
_COOL: Final = frozenset(
    {
        ("jobs", "agent_id"),
        ("jobs", "dead_letter"),
        ("agents", "pool_status"),
        ("agents", "status"),
        ("agents", "timer"),
    }
)


@frozen(kw_only=True)
class IndexTable:
    """A sparse global secondary index."""

    name: str
    partition: str
    sort: str
    #: The attributes that it holds besides the keys.
    projected: tuple[str, ...]


@frozen(kw_only=True)
class Table:
    """A table as every tool creates it: on demand, encrypted, with TTL."""

    #: Without the prefix.
    name: str
    #: The partition key and, if there is one, the sort key; all keys are strings.
    keys: tuple[str, ...]
    indexes: tuple[IndexTable, ...] = ()
    #: Whether it should have continuous backups.
    recoverable: bool = True

    @property
    def key_attributes(self) -> tuple[str, ...]:
        """Every attribute that is part of a key, of the table or of an index; sorted."""
        of_indexes = {name for index in self.indexes for name in (index.partition, index.sort)}
        return tuple(sorted({*self.keys, *of_indexes}))

    def definition(self, prefix: str) -> dict[str, Any]:
        """Return the parameters of ``CreateTable``."""
        parameters: dict[str, Any] = {
            "TableName": prefix + self.name,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": _schema(*self.keys),
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": "S"} for name in self.key_attributes
            ],
        }
        if self.indexes:
            parameters["GlobalSecondaryIndexes"] = [_index(index) for index in self.indexes]
        return parameters


#: Items that are not records.
JOURNAL: Final = Table(name="journal", keys=(STREAM_KEY, PLACE_KEY))


def tables_of(collections: Iterable[Collection]) -> tuple[Table, ...]:
    """Return the tables that a store of these collections needs."""
    return (*(_table(collection) for collection in collections), JOURNAL)


def hot_partitions(collection: Collection) -> frozenset[str]:
    """Return the partition attributes whose partitions are split into shards.

    A partition of an index takes 1,000 writes a second. A collection with claims is assumed to be
    busy, except for the attributes of the domain's collections whose values few records share.
    """
    if collection.lease_sort is None:
        return frozenset()
    names = (index.partition for index in collection.indexes)
    return frozenset(name for name in names if (collection.name, name) not in _COOL)


def projected(collection: Collection, index: Index) -> tuple[str, ...]:
    """Return the attributes that an index holds besides the keys."""
    return _NARROW.get((collection.name, index.name), (EXPIRY, LEASE_LIMIT))


def whole_of(collection: Collection, index: Index) -> Index | None:
    """Return the index that contains an index's partitions; None: the table has the index."""
    return _PARTS.get((collection.name, index.name))


def kept_indexes(collection: Collection) -> tuple[Index, ...]:
    """Return the indexes of a collection that its table has."""
    return tuple(index for index in collection.indexes if whole_of(collection, index) is None)


def _table(collection: Collection) -> Table:
    return Table(
        name=collection.name,
        keys=(RECORD_KEY,),
        indexes=tuple(
            IndexTable(
                name=index.name,
                partition=index.partition,
                sort=index.sort,
                projected=projected(collection, index),
            )
            for index in kept_indexes(collection)
        ),
        recoverable=not collection.is_secret,
    )


def _index(index: IndexTable) -> dict[str, Any]:
    projection: dict[str, Any] = {"ProjectionType": "KEYS_ONLY"}
    if index.projected:
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projected)}
    return {
        "IndexName": index.name,
        "KeySchema": _schema(index.partition, index.sort),
        "Projection": projection,
    }


def _schema(*keys: str) -> list[dict[str, str]]:
    kinds = ("HASH", "RANGE")
    return [
        {"AttributeName": name, "KeyType": kind} for name, kind in zip(keys, kinds, strict=False)
    ]
