"""The values of the store contract: records, commits, claims and pages.

Instants are integers here: microseconds on the store's own steady clock (:class:`StoreTime`).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from attrs import Factory, field

from cicd_core.increments import Increment
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "KEEP",
    "Claim",
    "Collection",
    "Commit",
    "Committed",
    "Conflict",
    "Count",
    "Counters",
    "Delete",
    "EventWrite",
    "Guard",
    "Increment",
    "Index",
    "Keep",
    "Lease",
    "LogEntry",
    "LogPage",
    "Partition",
    "Put",
    "Query",
    "Record",
    "RecordPage",
    "Renewal",
    "Renewed",
    "StoreTime",
    "Subject",
    "Watch",
]

#: The subject of a write, an event or an answer: a collection, and a record's key in it.
Subject = tuple[str, str]

#: Maximum writes per commit, and maximum bytes of its bodies and events.
MAX_WRITES: Final = 25
MAX_COMMIT_BYTES: Final = 1024 * 1024
#: Maximum bytes (UTF-8) of a key, an attribute's value or a claim id.
MAX_KEY_BYTES: Final = 1024
#: Maximum bytes of a body: more than for a new entity, since its history grows.
MAX_RECORD_BYTES: Final = 384 * 1024


class Keep(Enum):
    """The type of :data:`KEEP`."""

    KEEP = "keep"


#: Leave the lease as it is.
KEEP: Final = Keep.KEEP


class Guard(Enum):
    """A condition of a write besides its version."""

    NONE = "none"
    #: No record, no lease, or one whose expiry (with the clock's uncertainty) has passed on the
    #: store's clock. A lease holds up to its last microsecond: while ``expires >= now``.
    LEASE_EXPIRED = "lease_expired"


@frozen
class StoreTime:
    """The time of the store's two clocks: elapsed time, and the date.

    Durations and orders use instants of the steady clock: leases, retention, versions, fences,
    ranks. Times for people and calendars are instants of the calendar.
    """

    #: The steady clock, in microseconds: it grows as time passes, never goes back, and no wall
    #: clock moves it. It started with the best known Unix time.
    micros: int
    #: The steady clock may be off by this much in either direction, in microseconds.
    uncertainty: int = 0
    #: The best known wall clock: microseconds since the Unix epoch (UTC). It may step forward or
    #: back whenever it is corrected. A store without one omits it: it is then the steady one.
    calendar: int = field(default=Factory(lambda self: self.micros, takes_self=True), kw_only=True)

    @property
    def ahead(self) -> int:
        """The offset of the calendar from the steady clock, in microseconds."""
        return self.calendar - self.micros

    def calendar_of(self, steady: int) -> int:
        """Return an instant of the steady clock on the current calendar."""
        return max(0, steady + self.ahead)


@frozen
class Index:
    """A sparse index: a record is in it while it has the partition attribute.

    Every record with the partition attribute must have the sort attribute too. A sort value is
    ``text:key``: a text without a colon, which may be empty, a colon, and the record's key. So it
    is unique in its partition, and the next page continues from it without losing a record.
    :func:`~cicd_core.store.sort_key` makes one from an instant.
    """

    partition: str
    sort: str

    @property
    def name(self) -> str:
        """Its name in a database, such as ``status-created_at-index``."""
        return f"{self.partition}-{self.sort}-index"


@frozen(kw_only=True)
class Collection:
    """A named set of records with its indexes."""

    name: str
    indexes: tuple[Index, ...]
    #: The sort attribute that follows the lease: a claim writes ``sort_key(expires, key)`` there.
    #: It is a lower bound: a renewal may, but need not, move it to the new expiry.
    lease_sort: str | None = None
    #: Whether its records authenticate people (sessions, keys). A backend may exclude them from
    #: backups, encrypt them with a separate key, and hide them from processes that only read.
    is_secret: bool = False

    @property
    def attributes(self) -> tuple[str, ...]:
        """Every attribute that an index of this collection uses, sorted."""
        names = {name for index in self.indexes for name in (index.partition, index.sort)}
        return tuple(sorted(names))


@frozen
class Partition:
    """One partition of one index."""

    collection: str
    index: Index
    value: str


@frozen(kw_only=True)
class Lease:
    """The holder of a record, and the end of its lease."""

    #: The claim's request id.
    claim_id: str
    #: The time of the claim.
    granted: int
    #: The holder's last sign of life: the claim, a renewal, or the put of this lease.
    renewed: int
    #: After (not at) this time, plus the clock's uncertainty, the record may be taken away.
    expires: int
    #: ``expires`` is never past this.
    limit: int


@frozen(kw_only=True)
class Record:
    """A stored record. The store does not interpret ``body`` and ``grant``."""

    key: str
    #: +1 per commit or claim; a creation starts at max(1, steady time), so delete and create
    #: again never repeats a version.
    version: int
    #: The commit that wrote it last; claim and renew do not change it.
    commit_id: str
    body: bytes
    attributes: Mapping[str, str] = field(factory=dict[str, str])
    #: The grant of the last claim; a commit clears it.
    grant: bytes | None = None
    lease: Lease | None = None
    #: Maximum total length of a lease on this record (µs), from which a claim sets its limit.
    lease_limit: int | None = None
    #: From this time of the steady clock the record is absent, in every verb.
    expires_at: int | None = None


@frozen(kw_only=True)
class Put:
    """Create a record, or replace one."""

    collection: str
    key: str
    #: The current version of the record; 0: it must not exist.
    expected: int
    body: bytes
    #: All attributes: an omitted one is removed.
    attributes: Mapping[str, str] = field(factory=dict[str, str])
    #: KEEP, None (clear it), or a lease to set. A lease with the record's current claim id
    #: never moves ``renewed`` back, nor ``expires``, unless its own ``limit`` is earlier.
    lease: Lease | Literal[Keep.KEEP] | None = KEEP
    lease_limit: int | None = None
    expires_at: int | None = None
    guard: Guard = Guard.NONE


@frozen(kw_only=True)
class Delete:
    """Remove a record."""

    collection: str
    key: str
    #: The current version of the record, at least 1.
    expected: int
    guard: Guard = Guard.NONE


@frozen(kw_only=True)
class EventWrite:
    """An event to append to the log. Its identity is (collection, key, version, ordinal)."""

    collection: str
    key: str
    #: The version that it led to; None: the version that this commit gives to the record.
    version: int | None
    ordinal: int
    body: bytes


@frozen(kw_only=True)
class Commit:
    """Writes, events and increments that apply together or not at all."""

    #: Unique; it identifies a repetition of an applied commit (I6).
    commit_id: str
    #: 1 to 25, at least one Put, at most one per record.
    writes: tuple[Put | Delete, ...]
    events: tuple[EventWrite, ...] = ()
    increments: tuple[Increment, ...] = ()


@frozen
class Committed:
    """The commit was applied, now or by an earlier call with the same id."""

    #: The new version of each put record, by (collection, key).
    versions: Mapping[Subject, int]


@frozen
class Conflict:
    """The commit did nothing: these records have another version, or a guard was false."""

    keys: tuple[Subject, ...]


@frozen(kw_only=True)
class Claim:
    """Claim the records with the smallest sort values over some partitions of an index."""

    #: 128 random bits as hexadecimal digits: the claim id of all its leases.
    #: A repetition returns the records that it still holds.
    claim_id: str
    collection: str
    index: Index
    partitions: tuple[str, ...]
    #: Maximum number of records; 0 only answers a repetition.
    limit: int
    #: Stored in each record until its next commit.
    grant: bytes
    #: First length of each lease, in microseconds; its limit may end it sooner.
    duration: int
    #: Maximum total length of each lease (microseconds); the record's own ``lease_limit``
    #: counts too, and the smaller one wins. Without either, its limit is ``MAX_INSTANT``.
    lease_limit: int | None = None
    #: Attributes to set to a constant, or to remove (None): partition attributes only.
    patch: Mapping[str, str | None] = field(factory=dict[str, "str | None"])


@frozen(kw_only=True)
class Renewal:
    """Move one lease's expiry forward."""

    collection: str
    key: str
    claim_id: str
    #: From now, in microseconds; the lease's limit may end it sooner.
    duration: int


@frozen(kw_only=True)
class Renewed:
    """A renewed lease."""

    #: The record's version: larger than the holder's after another write, such as a cancel request.
    version: int
    #: The last sign of life: now, or a later one from another call. The rest of the lease is
    #: ``expires - renewed``, whatever the caller's clock shows.
    renewed: int
    expires: int
    limit: int


@frozen(kw_only=True)
class Query:
    """A page of one partition, in sort order or against it."""

    partition: Partition
    limit: int
    descending: bool = False
    #: Only sort values above this one, exclusive.
    after: str | None = None
    #: Only sort values below this one, exclusive.
    before: str | None = None


@frozen
class RecordPage:
    """Some records in order; continue from :meth:`end`."""

    records: tuple[Record, ...]
    #: Whether there may be more after the end.
    more: bool
    #: The end of the page, if not its last record: a store may end a page early, even without a
    #: record, after many index entries of records that have left the partition. The partition has
    #: no record between the page's last record and this sort value.
    resume: str | None = None
    #: The sort value and the key of each record within the page that the store cannot read: it is
    #: omitted, and ``get`` raises for it.
    unreadable: tuple[tuple[str, str], ...] = ()

    def end(self, index: Index) -> str | None:
        """Return the sort value to continue from; None: the page is empty, and the last one."""
        if self.resume is not None:
            return self.resume
        return self.records[-1].attributes[index.sort] if self.records else None


@frozen
class Count:
    """The number of records in a partition."""

    number: int
    #: False: an estimate, cached or capped.
    exact: bool


@frozen
class Counters:
    """The sums of all increments, and the log position that they include."""

    #: By name; a sum of 0 may be missing.
    values: Mapping[str, int]
    #: The log's cursor up to which the sums are complete.
    cursor: str


@frozen(kw_only=True)
class LogEntry:
    """A stored event."""

    collection: str
    key: str
    version: int
    ordinal: int
    body: bytes


@frozen
class LogPage:
    """Entries of the log after a cursor."""

    entries: tuple[LogEntry, ...]
    #: The cursor to continue from; unchanged if there were no new entries.
    cursor: str
    #: Whether retention removed entries between the given cursor and the first one here, or all
    #: entries after it. Never without a given cursor.
    truncated: bool = False


@frozen
class Watch:
    """A condition to wait for: a record in ``partition`` with a sort value above ``after``."""

    partition: Partition
    #: None: any record at all.
    after: str | None = None
    #: For a waiter that will claim the work: a record wakes one of the waiters with a turn, the
    #: smallest turn first. It is unique, and the waiter keeps it while it waits again;
    #: ``sort_key(micros, name)`` is first come, first served. None: a record wakes all.
    turn: str | None = None
