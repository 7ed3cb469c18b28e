"""The state of one transaction: the records that it read, and its changes to them.

Operations are decided in memory, in the order of their arrival. Each one sees the outcome of those
before it. Then :meth:`Batch.flush` writes the outcome, several rows per statement.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from attrs import define

from cicd_core.store.sqlite.log import LOG_BITS, LOG_TICK
from cicd_core.store.sqlite.statements import insert_rows
from cicd_core.store.sqlite.tables import claims_of, in_pieces, is_live, key_of
from cicd_core.store.sqlite.unreadable import Damaged

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from cicd_core.store.records import EventWrite, Increment, Record, Subject
    from cicd_core.store.sqlite.tables import PartitionKey, Post, Table

_NO_ATTRIBUTES: Final[Mapping[str, str]] = {}


@define(eq=False)
class Slot:
    """One record: its state in the table, and its state after the batch's changes so far."""

    #: The row's number in the table; None: there is no row.
    rowid: int | None = None
    #: The row's record; an expired record stays here until its row is deleted.
    stored: Record | None = None
    #: The record now; None: it is absent.
    record: Record | None = None
    #: The version that its last commit gave; claims may have raised the record's version since.
    given: int = 0
    #: Whether the row decodes; a row that does not is neither written nor renewed.
    is_readable: bool = True


class Batch:
    """The records, counts and log entries of one transaction."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        tables: Mapping[str, Table],
        namespace_id: int,
        now: int,
    ) -> None:
        """Begin with no records; ``namespace_id`` is the namespace's number, ``now`` its time."""
        self.connection = connection
        self.tables = tables
        self.namespace_id = namespace_id
        self.now = now
        #: Each sort value that entered a partition, or moved within it.
        self.arrivals: list[tuple[PartitionKey, str]] = []
        self._slots: dict[Subject, Slot] = {}
        self._changed: dict[Subject, Slot] = {}
        self._depths: defaultdict[PartitionKey, int] = defaultdict(int)
        self._log: list[tuple[str, str, int, int, bytes]] = []
        self._increments: defaultdict[str, int] = defaultdict(int)
        row = connection.execute(
            "SELECT log_end, version_floor FROM namespaces WHERE id = ?", (namespace_id,)
        ).fetchone()
        self._before: tuple[int, int] = (row[0], row[1])
        self._log_end, self._floor = self._before

    def load(self, subjects: Iterable[Subject]) -> None:
        """Read these records, unless they were read before."""
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for subject in dict.fromkeys(subjects):
            if subject not in self._slots:
                self._slots[subject] = Slot()
                wanted[subject[0]].append(subject[1])
        for collection, keys in wanted.items():
            table = self.tables[collection]
            found = in_pieces(self.connection, table.by_key, self.namespace_id, keys)
            for row in found.whole:
                self.adopt(table, row)
            for row in found.damaged:
                if is_live(row, self.now):
                    self._slots[collection, key_of(row)].is_readable = False
                else:
                    self.adopt(table, row)  # absent, so that its key is free

    def slot(self, subject: Subject) -> Slot:
        """Return the slot of a record that was read."""
        return self._slots[subject]

    def adopt(self, table: Table, row: Sequence[Any]) -> Slot:
        """Add a row that a query returned, and return its slot."""
        record = table.record(row)
        live = record.expires_at is None or record.expires_at > self.now
        slot = Slot(row[0], record, record if live else None, record.version - claims_of(row))
        self._slots[table.collection, record.key] = slot
        return slot

    def next_version(self, slot: Slot) -> int:
        """Return the version that a put gives the record.

        A new record's version is the current time, or more: above that of any earlier record with
        its key.
        """
        if slot.record is not None:
            return slot.record.version + 1
        expired = 0 if slot.stored is None else slot.stored.version + 1
        return max(self.now, self._floor, expired)

    def put(self, subject: Subject, record: Record, given: int) -> None:
        """Make this the record of its slot; ``given`` is the version that its last commit gave."""
        slot = self._slots[subject]
        slot.record, slot.given = record, given
        self._changed[subject] = slot
        if record.expires_at is not None and record.expires_at <= self.now:
            self.drop(subject)  # already expired when put: the rest of the batch sees no record

    def drop(self, subject: Subject) -> None:
        """Make the record absent, and remember its version so that no later record reuses it."""
        slot = self._slots[subject]
        gone = slot.record or slot.stored
        if gone is not None and gone.version >= self.now:  # an older version cannot recur anyway
            self._floor = max(self._floor, gone.version + 1)
        slot.record = None
        self._changed[subject] = slot

    def append(self, event: EventWrite, version: int) -> None:
        """Put an event at the end of the log."""
        self._log.append((event.collection, event.key, version, event.ordinal, event.body))

    def increment(self, increment: Increment) -> None:
        """Add to a counter."""
        self._increments[increment.name] += increment.amount

    def flush(self) -> None:
        """Write the changes since the last flush."""
        if self._changed:
            self._write_records()
        if self._log:
            self._write_log()
        if self._increments:
            insert_rows(
                self.connection,
                "INSERT INTO counters (ns, name, value) VALUES",
                [(self.namespace_id, name, amount) for name, amount in self._increments.items()],
                "ON CONFLICT (ns, name) DO UPDATE SET value = value + excluded.value",
            )
            self._increments.clear()

    def finish(self) -> None:
        """Write the rest: the namespace's own row, and the new depths of the partitions."""
        self.flush()
        self._write_depths()
        if (self._log_end, self._floor) != self._before:
            self.connection.execute(
                "UPDATE namespaces SET log_end = ?, version_floor = ? WHERE id = ?",
                (self._log_end, self._floor, self.namespace_id),
            )

    def _write_records(self) -> None:
        statements: defaultdict[str, list[Sequence[Any]]] = defaultdict(list)
        for (collection, _), slot in self._changed.items():
            table, old, new = self.tables[collection], slot.stored, slot.record
            posts = table.posts
            if new is None:
                if slot.rowid is not None:
                    statements[table.delete].append((slot.rowid,))
            elif old is None or slot.rowid is None:
                statements[table.insert].append(table.inserted(self.namespace_id, new))
            else:
                update = table.update(old, new)
                parameters = table.updated(update, new, slot.given, slot.rowid)
                statements[update.statement].append(parameters)
                posts = update.posts
            self._count(collection, posts, old, new)
        # A slot whose row was inserted or deleted is read again if a later flush needs it.
        for subject, slot in self._changed.items():
            if (slot.stored is None) != (slot.record is None):
                del self._slots[subject]
            slot.stored = slot.record
        self._changed.clear()
        for statement, rows in statements.items():
            self.connection.executemany(statement, rows)

    def _count(
        self, collection: str, posts: Iterable[Post], old: Record | None, new: Record | None
    ) -> None:
        """Note which partitions the record leaves, enters, or moves within."""
        before = _NO_ATTRIBUTES if old is None else old.attributes
        after = _NO_ATTRIBUTES if new is None else new.attributes
        for partition, sort, name in posts:
            # A claim's patch may remove one of the index's two attributes: then the record is not
            # in the index.
            was = before.get(partition) if sort in before else None
            if isinstance(was, Damaged):
                was = None  # which partition it was in is lost
            value = after.get(partition) if sort in after else None
            if was != value and was is not None:
                self._depths[collection, name, was] -= 1
            if value is not None:
                key = (collection, name, value)
                if was != value:
                    self._depths[key] += 1
                self.arrivals.append((key, after[sort]))

    def _write_log(self) -> None:
        position = max(self._log_end + 1, self.now // LOG_TICK)
        first = (self.namespace_id << LOG_BITS) + position
        insert_rows(
            self.connection,
            "INSERT INTO log (id, collection, key, version, ordinal, body, at) VALUES",
            [(number, *entry, self.now) for number, entry in enumerate(self._log, first)],
        )
        self._log_end = position + len(self._log) - 1
        self._log.clear()

    def _write_depths(self) -> None:
        insert_rows(
            self.connection,
            "INSERT INTO depths VALUES",
            [(self.namespace_id, *key, change) for key, change in self._depths.items() if change],
            "ON CONFLICT (ns, collection, index_name, value) "
            "DO UPDATE SET number = number + excluded.number",
        )
        # Partitions come and go with the records in them: agents, lanes, a pool's statuses.
        # One by one: with a list of rows, SQLite would look through the whole table.
        self.connection.executemany(
            "DELETE FROM depths WHERE ns = ? AND collection = ? AND index_name = ? AND value = ? "
            "AND number = 0",
            [(self.namespace_id, *key) for key, change in self._depths.items() if change < 0],
        )
