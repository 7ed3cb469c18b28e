"""The words of the store contract: what a record, a commit, a claim and a page are.

Instants are integers here: microseconds on the store's own steady clock (:class:`StoreTime`).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from attrs import Factory, field, frozen

from cicd_core.increments import Increment

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
    "Watch",
]

#: The most writes in one commit, and the most bytes of bodies and events in one.
MAX_WRITES: Final = 25
MAX_COMMIT_BYTES: Final = 1024 * 1024
#: The most bytes (UTF-8) of a key, an attribute's value or a claim id.
MAX_KEY_BYTES: Final = 1024
#: The most bytes of one body: more than a new entity may have, since its history grows.
MAX_RECORD_BYTES: Final = 384 * 1024


class Keep(Enum):
    """The type of :data:`KEEP`."""

    KEEP = "keep"


#: Leave the lease as it is.
KEEP: Final = Keep.KEEP


class Guard(Enum):
    """A condition on a write besides its version."""

    NONE = "none"
    #: No record, no lease, or one whose expiry (with the clock's uncertainty) has passed on the
    #: store's clock. A lease holds up to its last microsecond: while ``expires >= now``.
    LEASE_EXPIRED = "lease_expired"


@frozen
class StoreTime:
    """What the store's two clocks say: how much time has passed, and which moment it is.

    Whatever a duration or an order depends on is an instant of the steady clock: leases, retention,
    versions, fences, ranks. Whatever a person or a calendar names is an instant of the calendar.
    """

    #: The steady clock, in microseconds: it grows as time passes, never goes back, and no wall
    #: clock moves it. It began at the Unix epoch's count, as well as that was known then.
    micros: int
    #: The steady clock may be off by this much in either direction, in microseconds.
    uncertainty: int = 0
    #: The best known wall clock: microseconds since the Unix epoch (UTC). It may step forward or
    #: back whenever it is corrected. A store that cannot tell leaves it out: it is the steady one.
    calendar: int = field(default=Factory(lambda self: self.micros, takes_self=True), kw_only=True)

    @property
    def ahead(self) -> int:
        """How far the calendar is ahead of the steady clock now, in microseconds."""
        return self.calendar - self.micros

    def calendar_of(self, steady: int) -> int:
        """Return the moment on the calendar, as it is now, of an instant of the steady clock."""
        return max(0, steady + self.ahead)


@frozen
class Index:
    """A sparse index: a record is in it while it has the partition attribute.

    Every record that has the partition attribute must have the sort attribute too. A sort value is
    ``text:key``: a text without a colon, which may be empty, a colon, and the record's key. So it
    is unique in its partition, and a page goes on from it without losing a record.
    :func:`~cicd_core.store.sort_key` makes one of an instant.
    """

    partition: str
    sort: str

    @property
    def name(self) -> str:
        """The name that a database gives it, such as ``status-created_at-index``."""
        return f"{self.partition}-{self.sort}-index"


@frozen(kw_only=True)
class Collection:
    """A named set of records, and how they are found."""

    name: str
    indexes: tuple[Index, ...]
    #: The sort attribute that follows the lease: a claim writes ``sort_key(expires, key)`` there.
    #: It is a lower bound: a renewal may move it on to the new expiry, and need not.
    lease_sort: str | None = None

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
    """Who holds a record, and until when."""

    #: The claim's request id.
    claim_id: str
    #: When the claim was made.
    granted: int
    #: The holder's last sign of life: the claim, a renewal, or a put that set this lease.
    renewed: int
    #: After this moment (and the clock's uncertainty) the record may be taken away; at it, not yet.
    expires: int
    #: ``expires`` is never past this.
    limit: int


@frozen(kw_only=True)
class Record:
    """What a store keeps. It knows nothing of what ``body`` and ``grant`` mean."""

    key: str
    #: +1 a commit or a claim; a creation starts at max(1, steady time), so that delete and create
    #: again never repeats one.
    version: int
    #: The commit that wrote it last; claim and renew leave it.
    commit_id: str
    body: bytes
    attributes: Mapping[str, str] = field(factory=dict[str, str])
    #: What the last claim gave; a commit clears it.
    grant: bytes | None = None
    lease: Lease | None = None
    #: How long a lease on this record may last in all (µs); a claim makes its limit of it.
    lease_limit: int | None = None
    #: From this moment of the steady clock the record is absent, in every verb.
    expires_at: int | None = None


@frozen(kw_only=True)
class Put:
    """Create a record, or replace one."""

    collection: str
    key: str
    #: The version that the record has now; 0: it must not exist.
    expected: int
    body: bytes
    #: All of them: an attribute that is left out is removed.
    attributes: Mapping[str, str] = field(factory=dict[str, str])
    #: KEEP, None (clear it), or a lease to set. A lease with the claim id that the record has
    #: already never moves ``renewed`` back, nor ``expires``, unless its own ``limit`` is earlier.
    lease: Lease | Literal[Keep.KEEP] | None = KEEP
    lease_limit: int | None = None
    expires_at: int | None = None
    guard: Guard = Guard.NONE


@frozen(kw_only=True)
class Delete:
    """Remove a record."""

    collection: str
    key: str
    #: The version that the record has now, at least 1.
    expected: int
    guard: Guard = Guard.NONE


@frozen(kw_only=True)
class EventWrite:
    """An event to append to the log. Its identity is (collection, key, version, ordinal)."""

    collection: str
    key: str
    #: The version that it led to; None: the one that this commit gives to the record.
    version: int | None
    ordinal: int
    body: bytes


@frozen(kw_only=True)
class Commit:
    """Writes, events and increments that happen together or not at all."""

    #: Unique; a repetition of an applied commit is recognised by it (I6).
    commit_id: str
    #: 1 to 25, at least one of them a Put, no two of one record.
    writes: tuple[Put | Delete, ...]
    events: tuple[EventWrite, ...] = ()
    increments: tuple[Increment, ...] = ()


@frozen
class Committed:
    """The commit was applied, now or by an earlier call with the same id."""

    #: The new version of each record that was put, by (collection, key).
    versions: Mapping[tuple[str, str], int]


@frozen
class Conflict:
    """The commit did nothing: these records are not as it expected, or a guard did not hold."""

    keys: tuple[tuple[str, str], ...]


@frozen(kw_only=True)
class Claim:
    """Take the records with the smallest sort values over some partitions of one index."""

    #: 128 random bits as hexadecimal digits: the claim id of every lease that it gives.
    #: A repetition answers what it gave and is still held.
    claim_id: str
    collection: str
    index: Index
    partitions: tuple[str, ...]
    #: The most records to take; 0 only answers a repetition.
    limit: int
    #: Kept in each record until its next commit.
    grant: bytes
    #: How long each lease lasts at first, in microseconds; its limit may end it sooner.
    duration: int
    #: The most that each lease may last in all (microseconds); the record's own ``lease_limit``
    #: counts too, the smaller one wins. Without either, its limit is ``MAX_INSTANT``.
    lease_limit: int | None = None
    #: Attributes to set to a constant, or to remove (None): partition attributes only.
    patch: Mapping[str, str | None] = field(factory=dict[str, "str | None"])


@frozen(kw_only=True)
class Renewal:
    """Move one lease's expiry forward."""

    collection: str
    key: str
    claim_id: str
    #: Counted from now, in microseconds; the lease's limit may end it sooner.
    duration: int


@frozen(kw_only=True)
class Renewed:
    """A lease that was renewed."""

    #: The record's version: larger than the holder's when somebody wrote, a cancel request say.
    version: int
    #: The last sign of life: now, or a later one that another call has left. What is left of the
    #: lease is ``expires - renewed``, whatever the caller's clock says.
    renewed: int
    expires: int
    limit: int


@frozen(kw_only=True)
class Query:
    """A page of one partition, in sort order or against it."""

    partition: Partition
    limit: int
    descending: bool = False
    #: Only sort values above this one, itself left out.
    after: str | None = None
    #: Only sort values below this one, itself left out.
    before: str | None = None


@frozen
class RecordPage:
    """Some records in order; ask on from :meth:`end`."""

    records: tuple[Record, ...]
    #: Whether there may be more behind the end.
    more: bool
    #: Where the page ends, if that is not at its last record: a store may end a page early, even
    #: without a record, when it has looked at much that is none of the partition any more. There is
    #: nothing of the partition between its last record and this sort value.
    resume: str | None = None
    #: The sort value and the key of each record, in the page's stretch, that the store itself can't
    #: read: it is left out, and ``get`` raises for it.
    unreadable: tuple[tuple[str, str], ...] = ()

    def end(self, index: Index) -> str | None:
        """Return the sort value to ask on from; None: the page has no record, and no more."""
        if self.resume is not None:
            return self.resume
        return self.records[-1].attributes[index.sort] if self.records else None


@frozen
class Count:
    """How many records a partition holds."""

    number: int
    #: False: an estimate, cached or capped.
    exact: bool


@frozen
class Counters:
    """The sums of all increments, and how far the log has been folded into them."""

    #: By name; one that sums to 0 may be missing.
    values: Mapping[str, int]
    #: The log's cursor up to which the sums are complete.
    cursor: str


@frozen(kw_only=True)
class LogEntry:
    """An event as the store keeps it."""

    collection: str
    key: str
    version: int
    ordinal: int
    body: bytes


@frozen
class LogPage:
    """Entries of the log after a cursor."""

    entries: tuple[LogEntry, ...]
    #: Read on from here; it stays the same when there was nothing new.
    cursor: str
    #: Retention dropped entries between the cursor that was given and the first one here, or all
    #: that were behind it. Never where no cursor was given.
    torn: bool = False


@frozen
class Watch:
    """Something to wait for: a record in ``partition`` whose sort value is above ``after``."""

    partition: Partition
    #: None: any record at all.
    after: str | None = None
    #: For a waiter that will claim what comes: a record wakes one of those who have a turn, the
    #: smallest one first. It is unique, and the waiter keeps it while it waits again;
    #: ``sort_key(micros, name)`` serves those first who came first. None: a record wakes all.
    turn: str | None = None
