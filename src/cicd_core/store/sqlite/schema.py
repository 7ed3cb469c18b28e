"""The layout of the file: how it is recognised, created, migrated and extended.

====================  ==========================================================================
``namespaces``        one row per namespace: its number, and where its log begins and ends
``clock``             one row: the offset of the store's time from the time since boot
``layout``            the indexes of every collection, from all processes
``depths``            how many records each partition of each index holds
``counters``          the sums of all increments
``log``               the events; the namespace's number is in the upper bits of ``id``
``c_<collection>``    the records of a collection; an attribute is a column ``a_<name>``
====================  ==========================================================================

Text is compared by its bytes (UTF-8), which is the order of code points.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from cicd_core.errors import (
    InvalidInput,
    SchemaTooNew,
    SchemaTooOld,
    UnrecognizedDatabase,
    UnsupportedCapability,
)
from cicd_core.store.records import Index
from cicd_core.store.sqlite.log import LOG_BITS
from cicd_core.store.sqlite.tables import FIXED, LONG, Table, column, depth_name, table_name

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from cicd_core.store.records import Collection

#: Marks a file as a database of this library: "CiCd" in ASCII, in the file's header.
APPLICATION_ID: Final = 0x43694364
#: The bits of an event's id above its position.
MOST_NAMESPACES: Final = (1 << (63 - LOG_BITS)) - 1
#: STRICT tables check the type of each value; SQLite has them since 3.37.
_STRICT: Final = " STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
_STRICT_NO_ROWID: Final = f" WITHOUT ROWID{',' if _STRICT else ''}{_STRICT}"

_TABLES: Final = (
    f"""CREATE TABLE namespaces (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      log_end INTEGER NOT NULL DEFAULT 0,
      log_dropped INTEGER NOT NULL DEFAULT 0,
      version_floor INTEGER NOT NULL DEFAULT 1
    ){_STRICT}""",
    f"""CREATE TABLE clock (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      boot TEXT NOT NULL,
      boot_offset INTEGER NOT NULL,
      high INTEGER NOT NULL
    ){_STRICT}""",
    f"""CREATE TABLE layout (
      collection TEXT NOT NULL,
      partition_attribute TEXT NOT NULL,
      sort_attribute TEXT NOT NULL,
      PRIMARY KEY (collection, partition_attribute, sort_attribute)
    ){_STRICT_NO_ROWID}""",
    f"""CREATE TABLE depths (
      ns INTEGER NOT NULL,
      collection TEXT NOT NULL,
      index_name TEXT NOT NULL,
      value TEXT NOT NULL,
      number INTEGER NOT NULL,
      PRIMARY KEY (ns, collection, index_name, value)
    ){_STRICT_NO_ROWID}""",
    f"""CREATE TABLE counters (
      ns INTEGER NOT NULL,
      name TEXT NOT NULL,
      value INTEGER NOT NULL,
      PRIMARY KEY (ns, name)
    ){_STRICT_NO_ROWID}""",
    f"""CREATE TABLE log (
      id INTEGER PRIMARY KEY,
      collection TEXT NOT NULL,
      key TEXT NOT NULL,
      version INTEGER NOT NULL,
      ordinal INTEGER NOT NULL,
      at INTEGER NOT NULL,
      body BLOB NOT NULL
    ){_STRICT}""",
)
#: The oldest supported version. Before it, positions in the log did not grow with the time, the
#: columns of bodies came before those of the attributes, the file could not shrink, and records
#: had other field names for the actor and the reason.
OLDEST: Final = 5
#: The statements that migrate a file from each version to the next. The last ones create the
#: tables in an empty file.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = ((), (), (), (), _TABLES)


def refuse_foreign(path: Path, migrations: int = len(MIGRATIONS)) -> None:
    """Check a file without writing to it, so that a foreign file stays unchanged.

    Raises:
        UnrecognizedDatabase: it is another program's database, or not a database at all.
        SchemaTooNew: a newer version of the library wrote it.
        SchemaTooOld: its version is below :data:`OLDEST`.
    """
    if not path.exists():
        return
    # Read the file as immutable: without a lock, and without the files of a write-ahead log, which
    # a read-only connection would leave behind. The file may change during this check; the writing
    # connection checks it again.
    uri = f"{path.as_uri()}?immutable=1"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        try:
            file_version(connection, path, migrations)
        except sqlite3.DatabaseError as failure:
            # With a journal beside it, a power cut interrupted the creation of the file: the
            # writing connection rolls that back.
            journal = path.with_name(f"{path.name}-journal")
            if failure.sqlite_errorcode == sqlite3.SQLITE_NOTADB and not journal.exists():
                raise


def file_version(connection: sqlite3.Connection, path: Path, migrations: int) -> int:
    """Return the version of the file's schema; 0: the file is empty.

    Raises:
        UnrecognizedDatabase: it is another program's database.
        SchemaTooNew: its version is above ``migrations``.
        SchemaTooOld: its version is below :data:`OLDEST`.
    """
    application_id = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application_id != APPLICATION_ID:
        if application_id or version or _has_tables(connection):
            raise UnrecognizedDatabase(
                f"{str(path)!r} is another program's database (application_id {application_id}); "
                f"it was not changed; choose another path"
            )
        return 0
    if version > migrations:
        raise SchemaTooNew(f"the database {str(path)!r}", version, migrations)
    if version < OLDEST:
        raise SchemaTooOld(f"the database {str(path)!r}", version, OLDEST)
    return version


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None, None, None]:
    """Run the block as one transaction; roll it back on any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors make SQLite roll back by itself
            connection.execute("ROLLBACK")
        raise


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    migrations: tuple[tuple[str, ...], ...] = MIGRATIONS,
) -> None:
    """Migrate the file to the newest version, with all steps in one transaction.

    Raises:
        UnrecognizedDatabase: it is another program's database.
        SchemaTooNew: a newer version of the library wrote it.
        SchemaTooOld: its version is below :data:`OLDEST`.
    """
    found = file_version(connection, path, len(migrations))
    if found == len(migrations):
        return
    if not found:
        _let_shrink(connection)
    with transaction(connection):
        found = file_version(connection, path, len(migrations))  # another process may be first
        for statements in migrations[found:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def extend(connection: sqlite3.Connection, collections: Iterable[Collection]) -> None:
    """Add the tables, columns and indexes that the file lacks; never remove any.

    Raises:
        UnsupportedCapability: the file has records without an attribute that a new index needs:
            the index would miss them.
    """
    missing = [item for item in collections if not _is_complete(connection, item)]
    if not missing:
        return
    with transaction(connection):
        for collection in missing:
            _add(connection, collection)


def load_tables(
    connection: sqlite3.Connection, collections: Iterable[Collection]
) -> dict[str, Table]:
    """Return the tables of these collections, with all their columns and indexes in the file.

    The file may have more than the collections declare: another version of the library may have
    added an index, and a put by this version must remove the record from it.
    """
    return {
        collection.name: Table(
            collection.name,
            _attributes(connection, collection.name),
            _indexes(connection, collection.name),
            collection.lease_sort,
        )
        for collection in collections
    }


def layout_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when any process changes the layout."""
    return _pragma(connection, "schema_version")


def namespace_id(connection: sqlite3.Connection, name: str) -> int:
    """Return the number of a namespace; add the namespace if it is missing.

    Raises:
        InvalidInput: the database has no room for another namespace.
    """
    query = "SELECT id FROM namespaces WHERE name = ?"
    row = connection.execute(query, (name,)).fetchone()
    if row is None:
        with transaction(connection):
            connection.execute("INSERT OR IGNORE INTO namespaces (name) VALUES (?)", (name,))
            row = connection.execute(query, (name,)).fetchone()
            if row[0] > MOST_NAMESPACES:
                reason = f"a database has room for {MOST_NAMESPACES} namespaces; use another file"
                raise InvalidInput("namespace", name, reason)
    return int(row[0])


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def _attributes(connection: sqlite3.Connection, collection: str) -> list[str]:
    rows = connection.execute(f"PRAGMA table_info({table_name(collection)})")
    names = (str(row[1]) for row in rows)
    return [name.removeprefix("a_") for name in names if name.startswith("a_")]


def _indexes(connection: sqlite3.Connection, collection: str) -> list[Index]:
    rows = connection.execute(
        "SELECT partition_attribute, sort_attribute FROM layout WHERE collection = ?", (collection,)
    )
    return [Index(partition, sort) for partition, sort in rows]


def _is_complete(connection: sqlite3.Connection, collection: Collection) -> bool:
    if not set(collection.indexes) <= set(_indexes(connection, collection.name)):
        return False
    # A collection without an index also has a table.
    return _has_table(connection, collection.name)


def _has_table(connection: sqlite3.Connection, collection: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (f"c_{collection}",)).fetchone() is not None


def _let_shrink(connection: sqlite3.Connection) -> None:
    """Let an empty file give pages back: this must be set before its first table."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    if _pragma(connection, "page_count"):
        connection.execute("VACUUM")


def _add(connection: sqlite3.Connection, collection: Collection) -> None:
    name, known = collection.name, _attributes(connection, collection.name)
    new = [attribute for attribute in collection.attributes if attribute not in known]
    if new and _has_table(connection, name):
        _drop_empty(connection, name, new)
    _add_table(connection, name, [*known, *new])
    for index in {*_indexes(connection, name), *collection.indexes}:
        _add_index(connection, name, index)


def _drop_empty(connection: sqlite3.Connection, name: str, new: Sequence[str]) -> None:
    """Drop a table without records, so that it is created with its columns in the right order.

    Raises:
        UnsupportedCapability: it has records.
    """
    table = table_name(name)
    if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None:
        raise UnsupportedCapability(
            f"the database has records of {name!r} without the attributes {', '.join(new)}, which "
            f"this version needs to find them; nothing was changed; use the version of cicd-core "
            f"that wrote them, or start with an empty file"
        )
    connection.execute(f"DROP TABLE {table}")


def _add_table(connection: sqlite3.Connection, name: str, attributes: Sequence[str]) -> None:
    table = table_name(name)
    long = [item for item in FIXED if item[0] in LONG]
    columns = [item for item in FIXED if item not in long]
    columns += [(column(attribute), "TEXT") for attribute in attributes]
    declared = ", ".join(f"{item} {kind}" for item, kind in [*columns, *long])
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({declared}){_STRICT}")
    connection.execute(f'CREATE UNIQUE INDEX IF NOT EXISTS "k_{name}" ON {table} (ns, key)')
    for letter, one in (("l", "lease_claim"), ("x", "expires_at")):
        connection.execute(
            f'CREATE INDEX IF NOT EXISTS "{letter}_{name}" ON {table} (ns, {one}) '
            f"WHERE {one} IS NOT NULL"
        )


def _add_index(connection: sqlite3.Connection, collection: str, index: Index) -> None:
    partition, sort = column(index.partition), column(index.sort)
    connection.execute(
        f'CREATE INDEX IF NOT EXISTS "i_{collection}.{depth_name(index)}" '
        f"ON {table_name(collection)} (ns, {partition}, {sort}) "
        f"WHERE {partition} IS NOT NULL AND {sort} IS NOT NULL"
    )
    added = connection.execute(
        "INSERT OR IGNORE INTO layout VALUES (?, ?, ?)", (collection, index.partition, index.sort)
    )
    if added.rowcount:
        connection.execute(
            f"INSERT INTO depths SELECT ns, ?, ?, {partition}, count(*) "
            f"FROM {table_name(collection)} "
            f"WHERE {partition} IS NOT NULL AND {sort} IS NOT NULL GROUP BY ns, {partition}",
            (collection, depth_name(index)),
        )
