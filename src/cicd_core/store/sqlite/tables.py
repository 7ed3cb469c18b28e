"""The table of a collection: its columns, its statements, and how its rows become records."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from cicd_core.store.records import Lease, Record
from cicd_core.store.sqlite.unreadable import Found, find
from cicd_core.values import frozen

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.store.records import Index, Partition, Query

#: A partition: its collection, its index by :func:`depth_name`, and its value.
PartitionKey = tuple[str, str, str]

#: The columns before the attributes, in this order. ``claims`` counts the claims since the last
#: commit: version - claims is the version that the commit gave.
FIXED: Final = (
    ("id", "INTEGER PRIMARY KEY"),
    ("ns", "INTEGER NOT NULL"),
    ("key", "TEXT NOT NULL"),
    ("version", "INTEGER NOT NULL"),
    ("claims", "INTEGER NOT NULL"),
    ("commit_id", "TEXT NOT NULL"),
    ("expires_at", "INTEGER"),
    ("lease_claim", "TEXT"),
    ("lease_granted", "INTEGER"),
    ("lease_renewed", "INTEGER"),
    ("lease_expires", "INTEGER"),
    ("lease_end", "INTEGER"),
    ("lease_limit", "INTEGER"),
    ("claim_grant", "BLOB"),
    ("body", "BLOB NOT NULL"),
)
#: The columns that each update sets. Columns of indexes are set only when they change, since SQLite
#: rewrites the index of every column that an UPDATE names.
_ALWAYS: Final = (
    "version",
    "claims",
    "commit_id",
    "lease_granted",
    "lease_renewed",
    "lease_expires",
    "lease_end",
    "lease_limit",
    "claim_grant",
    "body",
)
#: In a table these come last, after the attributes: SQLite reads a row only as far as it must, and
#: a long body fills its own pages.
LONG: Final = ("claim_grant", "body")
_READ: Final = tuple(name for name, _ in FIXED if name != "ns")
_KEY: Final = _READ.index("key")
_EXPIRES: Final = _READ.index("expires_at")
_CLAIM: Final = _READ.index("lease_claim")
_CLAIMS: Final = _READ.index("claims")
#: The position of the first attribute in a row.
_ATTRIBUTES: Final = len(_READ)
#: The most partitions in one statement; SQLite takes 500 terms in a compound SELECT.
ARMS: Final = 128
#: The most values in one query.
_PIECE: Final = 512

_LIVE: Final = "(expires_at IS NULL OR expires_at > ?)"


def table_name(collection: str) -> str:
    """Return the name of a collection's table, quoted."""
    return f'"c_{collection}"'


def column(attribute: str) -> str:
    """Return the name of an attribute's column, quoted."""
    return f'"a_{attribute}"'


def depth_name(index: Index) -> str:
    """Return the name of an index in ``depths``; names may have hyphens, but never a dot."""
    return f"{index.partition}.{index.sort}"


def key_of_partition(partition: Partition) -> PartitionKey:
    """Return a partition as batches and waiters name it."""
    return partition.collection, depth_name(partition.index), partition.value


def in_pieces(
    connection: sqlite3.Connection,
    query: Callable[[int], str],
    namespace_id: int,
    values: Sequence[str],
) -> Found:
    """Return the rows of a query for any number of values.

    The last value of a piece is repeated up to a power of two, so that there are few different
    statements, which stay prepared.
    """
    found = Found()
    for start in range(0, len(values), _PIECE):
        piece = values[start : start + _PIECE]
        size = 1 << (len(piece) - 1).bit_length()
        parameters = (namespace_id, *piece, *[piece[-1]] * (size - len(piece)))
        found.add(find(connection, query(size), parameters))
    return found


#: An index as a batch uses it: partition attribute, sort attribute, name.
Post = tuple[str, str, str]


@frozen
class Update:
    """An update of the columns that no index uses, and of the indexed ones that change."""

    statement: str
    attributes: tuple[str, ...]
    sets_expiry: bool
    sets_claim: bool
    #: The indexes that the record may leave, enter, or move in.
    posts: tuple[Post, ...]


class Table:
    """The statements on one collection's table. Its names come from checked collections."""

    def __init__(
        self,
        collection: str,
        attributes: Sequence[str],
        indexes: Sequence[Index],
        lease_sort: str | None,
    ) -> None:
        self.collection = collection
        self.attributes = tuple(attributes)
        self.indexes = tuple(indexes)
        self.lease_sort = lease_sort
        self.posts = tuple((index.partition, index.sort, depth_name(index)) for index in indexes)
        self.name = table_name(collection)
        self._columns = ", ".join([*_READ, *map(column, attributes)])
        self._updates: dict[tuple[str, ...], Update] = {}
        self._claims: dict[tuple[Index, int], str] = {}
        names = [*(name for name, _ in FIXED if name != "id"), *map(column, attributes)]
        marks = ", ".join("?" * len(names))
        self.insert = f"INSERT INTO {self.name} ({', '.join(names)}) VALUES ({marks})"
        self.delete = f"DELETE FROM {self.name} WHERE id = ?"
        light = self._columns.replace("claim_grant, body", "NULL, x''")
        #: The rows without grants and bodies, each with the length of its body at the end.
        self.expired = (
            f"SELECT {light}, length(body) FROM {self.name} WHERE ns = ? AND expires_at <= ? "
            f"ORDER BY expires_at LIMIT ?"
        )

    @property
    def expired_attributes(self) -> str:
        """The query for the attributes of expired rows; its parameters: namespace, now, limit."""
        names = ", ".join(map(column, self.attributes)) or "NULL"
        return (
            f'SELECT {names} FROM {self.name} INDEXED BY "x_{self.collection}" '
            f"WHERE ns = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?"
        )

    def by_key(self, count: int) -> str:
        """Return the query for ``count`` keys; its parameters: namespace, keys."""
        marks = ", ".join("?" * count)
        return f"SELECT {self._columns} FROM {self.name} WHERE ns = ? AND key IN ({marks})"

    def held(self, count: int) -> str:
        """Return the query for ``count`` claim ids; its parameters: namespace, claim ids."""
        marks = ", ".join("?" * count)
        return f"SELECT {self._columns} FROM {self.name} WHERE ns = ? AND lease_claim IN ({marks})"

    def smallest(
        self, index: Index, partitions: Sequence[str], namespace_id: int, now: int, limit: int
    ) -> tuple[str, list[Any]]:
        """Return the query for the smallest rows over some partitions, and its parameters.

        Each part reads its partition in order and stops at the limit, so depth costs nothing.
        """
        statement = self._claims.get((index, len(partitions)))
        if statement is None:
            statement = self._make_smallest(index, len(partitions))
            self._claims[index, len(partitions)] = statement
        parameters: list[Any] = []
        for value in partitions:
            parameters += (namespace_id, value, now, limit)
        if len(partitions) > 1:
            parameters.append(limit)
        return statement, parameters

    def page(self, query: Query) -> str:
        """Return the query for a page; its parameters: namespace, value, now, bounds, limit."""
        index = query.partition.index
        sort = column(index.sort)
        after = "" if query.after is None else f" AND {sort} > ?"
        before = "" if query.before is None else f" AND {sort} < ?"
        return (
            f"SELECT {self._columns} FROM {self.name} WHERE ns = ? "
            f"AND {column(index.partition)} = ? AND {sort} IS NOT NULL AND {_LIVE}{after}{before} "
            f"ORDER BY {sort} {'DESC' if query.descending else 'ASC'} LIMIT ?"
        )

    def any_above(self, index: Index, *, bounded: bool) -> str:
        """Return the query whether a partition holds a record (above a bound)."""
        sort = column(index.sort)
        above = f" AND {sort} > ?" if bounded else ""
        return (
            f"SELECT 1 FROM {self.name} WHERE ns = ? AND {column(index.partition)} = ? "
            f"AND {sort} IS NOT NULL AND {_LIVE}{above} LIMIT 1"
        )

    def sort_of(self, index: Index) -> Callable[[Sequence[Any]], Any]:
        """Return a sort key for rows: their sort value, then their key."""
        return itemgetter(_ATTRIBUTES + self.attributes.index(index.sort), _KEY)

    def record(self, row: Sequence[Any]) -> Record:
        """Return the record of a row that one of these queries returned."""
        values = zip(self.attributes, row[_ATTRIBUTES:], strict=True)
        return Record(
            key=row[1],
            version=row[2],
            commit_id=row[4],
            expires_at=row[5],
            lease=None
            if row[6] is None
            else Lease(
                claim_id=row[6], granted=row[7], renewed=row[8], expires=row[9], limit=row[10]
            ),
            lease_limit=row[11],
            grant=row[12],
            body=row[13],
            attributes={name: value for name, value in values if value is not None},
        )

    def records(self, rows: Iterable[Sequence[Any]]) -> tuple[Record, ...]:
        """Return the records of some rows, in their order."""
        return tuple(self.record(row) for row in rows)

    def inserted(self, namespace_id: int, record: Record) -> tuple[Any, ...]:
        """Return the parameters of :attr:`insert`."""
        lease = record.lease
        held = (None,) * 5 if lease is None else (lease.claim_id, *_instants(lease))
        return (
            namespace_id,
            record.key,
            record.version,
            0,
            record.commit_id,
            record.expires_at,
            *held,
            record.lease_limit,
            record.grant,
            record.body,
            *map(record.attributes.get, self.attributes),
        )

    def update(self, old: Record, new: Record) -> Update:
        """Return the update of a row from the old record to the new one."""
        before, after = old.attributes, new.attributes
        names = [name for name in self.attributes if before.get(name) != after.get(name)]
        if old.expires_at != new.expires_at:
            names.append("expires_at")
        if _claim_id(old) != _claim_id(new):
            names.append("lease_claim")
        key = tuple(names)
        update = self._updates.get(key)
        if update is None:
            update = self._updates[key] = self._make_update(key)
        return update

    def updated(self, update: Update, record: Record, given: int, rowid: int) -> tuple[Any, ...]:
        """Return the parameters of an update."""
        lease = record.lease
        held = (None,) * 4 if lease is None else _instants(lease)
        rest: list[Any] = []
        if update.sets_expiry:
            rest.append(record.expires_at)
        if update.sets_claim:
            rest.append(_claim_id(record))
        return (
            record.version,
            record.version - given,
            record.commit_id,
            *held,
            record.lease_limit,
            record.grant,
            record.body,
            *map(record.attributes.get, update.attributes),
            *rest,
            rowid,
        )

    def _make_smallest(self, index: Index, partitions: int) -> str:
        sort = column(index.sort)
        found = (
            f"FROM {self.name} WHERE ns = ? AND {column(index.partition)} = ? "
            f"AND {sort} IS NOT NULL AND {_LIVE} ORDER BY {sort} LIMIT ?"
        )
        if partitions == 1:
            return f"SELECT {self._columns} {found}"
        arms = " UNION ALL ".join(
            [f"SELECT * FROM (SELECT id, {sort} AS sort {found})"] * partitions
        )
        return (
            f"SELECT {self._columns} FROM {self.name} WHERE id IN "
            f"(SELECT id FROM ({arms}) ORDER BY sort LIMIT ?)"
        )

    def _make_update(self, changed: tuple[str, ...]) -> Update:
        attributes = tuple(name for name in changed if name in self.attributes)
        others = tuple(name for name in changed if name not in self.attributes)
        names = (*_ALWAYS, *map(column, attributes), *others)
        settings = ", ".join(f"{name} = ?" for name in names)
        return Update(
            statement=f"UPDATE {self.name} SET {settings} WHERE id = ?",
            attributes=attributes,
            sets_expiry="expires_at" in others,
            sets_claim="lease_claim" in others,
            posts=tuple(post for post in self.posts if not set(attributes).isdisjoint(post[:2])),
        )


def key_of(row: Sequence[Any]) -> str:
    """Return the key of a row."""
    key: str = row[_KEY]
    return key


def claim_of(row: Sequence[Any]) -> str | None:
    """Return the claim id of a row's lease; None: it has no lease."""
    claim_id: str | None = row[_CLAIM]
    return claim_id


def is_live(row: Sequence[Any], now: int) -> bool:
    """Whether a row's retention has not ended."""
    return row[_EXPIRES] is None or row[_EXPIRES] > now


def claims_of(row: Sequence[Any]) -> int:
    """Return the number of claims of a row since its last commit."""
    claims: int = row[_CLAIMS]
    return claims


def _claim_id(record: Record) -> str | None:
    return None if record.lease is None else record.lease.claim_id


def _instants(lease: Lease) -> tuple[int, int, int, int]:
    return lease.granted, lease.renewed, lease.expires, lease.limit
