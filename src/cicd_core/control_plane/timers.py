"""Timers: find due records of a partition, and remember those that are not due yet.

A timer's partition is ordered by a lower bound: no record in it is due earlier, but a record may be
due much later, since a renewal need not move the bound. So an examined record rests: it is not read
again before its own time. Between two reads of the whole partition, a sweep reads the records that
came since the last sweep, and by key the records whose rest is over.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeGuard, TypeVar

from attrs import define, field

from cicd_core.model.instants import SECOND
from cicd_core.store.records import Guard, Query
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Partition, Record, RecordPage, StoreTime

Entity = TypeVar("Entity")

#: Rest (µs) of a record that cannot be read or that the store refuses; also the time for which a
#: sweep relies on its memory before it reads the whole partition again.
LONG_REST: Final = 60 * SECOND
#: Rest (µs) of a record whose decision was refused for a reason without a known end.
SHORT_REST: Final = 5 * SECOND
#: Overlap (µs) of a sweep with the previous one: commits come late, pages lag.
OVERLAP: Final = 5 * SECOND
#: Number of resting records read per batch, if their own time is not that of a lease.
_FEW: Final = 20


@frozen
class _Rest:
    """A record that is skipped for a while, as long as its version is the same."""

    version: int
    #: When the rest is over (µs, steady).
    until: int


@define(kw_only=True, eq=False)
class Timer(Generic[Entity]):
    """A timer: its decision on due records, and the memory of previous sweeps.

    The memory is local to the process: a few dozen bytes per resting record.
    """

    partition: Partition
    repository: Repository[Entity]
    decide: Callable[[Loaded[Entity], StoreTime], Decision[Entity]]
    guard: Guard = Guard.NONE
    #: Whether the partition is ordered by the steady clock, or by the calendar.
    steady: bool = True
    #: The name of the new state of an entity, in the report.
    result: Callable[[Entity], str]
    #: Logs a committed change of an entity, from its old to its new value.
    log: Callable[[Entity, Entity], object]
    #: When (µs, steady) an unchanged entity is due again; None: unknown.
    due_at: Callable[[Entity], int | None]
    #: The keys of due records that do not decode.
    unreadable: set[str] = field(factory=set[str], init=False)
    #: The keys of records that the store itself cannot read, from its pages.
    undecodable: set[str] = field(factory=set[str], init=False)
    #: The resting records, by key.
    _rests: dict[str, _Rest] = field(factory=dict[str, _Rest], init=False)
    #: The time, on the timer's clock, up to which all records were examined.
    _seen: int = field(default=0, init=False)
    #: When (µs, steady) the whole partition is read again.
    _whole_at: int = field(default=0, init=False)

    def begin(self, now: StoreTime) -> Round[Entity]:
        """Return a round over the records that may be due."""
        moment = now.micros if self.steady else now.calendar
        is_whole = now.micros >= self._whole_at or (
            self.guard is not Guard.LEASE_EXPIRED and len(self._rests) <= _FEW
        )
        if is_whole:  # its pages name them again
            self.undecodable.clear()
        start = 0 if is_whole else max(0, min(self._seen, moment) - OVERLAP)
        woken = [key for key, rest in self._rests.items() if rest.until <= now.micros]
        return Round(timer=self, moment=moment, after=_bound(start), woken=woken, is_whole=is_whole)

    def end(self, finished: Round[Entity], now: StoreTime) -> None:
        """Record that a round has examined all records."""
        self._seen = finished.moment
        if finished.is_whole and now.micros >= self._whole_at:
            self._whole_at = now.micros + LONG_REST

    def is_due(self, record: Record, now: StoreTime) -> bool:
        """Whether a record may be due, without decoding its body; if not, it rests until then."""
        rest = self._rests.get(record.key)
        if rest is not None and rest.version == record.version and rest.until > now.micros:
            return False
        if self.guard is not Guard.LEASE_EXPIRED or record.lease is None:
            return True
        ends = record.lease.expires + now.uncertainty
        if ends < now.micros:
            return True
        self._rests[record.key] = _Rest(record.version, ends + 1)
        return False

    @property
    def named(self) -> set[str]:
        """The keys of all records that are or may be due and cannot be read."""
        return self.unreadable | self.undecodable

    def holds(self, record: Record | None) -> TypeGuard[Record]:
        """Whether a record, read again, is still in the partition."""
        index = self.partition.index
        return record is not None and record.attributes.get(index.partition) == self.partition.value

    def rest(self, key: str, version: int, *, until: int) -> None:
        """Skip a record until a time (µs, steady), or until it has another version."""
        self._rests[key] = _Rest(version, until)

    def rest_unread(self, key: str, version: int, now: StoreTime) -> None:
        """Skip a record that does not decode."""
        self.unreadable.add(key)
        self.rest(key, version, until=now.micros + LONG_REST)

    def forget(self, keys: Iterable[str]) -> None:
        """Forget records: they have changed, or must be examined again."""
        for key in keys:
            self._rests.pop(key, None)
            self.unreadable.discard(key)


@define(kw_only=True, eq=False)
class Round(Generic[Entity]):
    """One sweep over one timer, a batch at a time."""

    timer: Timer[Entity]
    #: Records due at this time of the timer's clock are examined.
    moment: int
    #: The sort value after which the next page starts; None: no page is left.
    after: str | None
    #: The keys of records whose rest is over.
    woken: Sequence[str]
    is_whole: bool

    @property
    def is_over(self) -> bool:
        """Whether all records were examined."""
        return self.after is None and not self.woken

    def query(self, limit: int) -> Query | None:
        """Return the next page to read; None: there is none."""
        if self.after is None:
            return None
        return Query(
            partition=self.timer.partition,
            limit=limit,
            after=self.after,
            before=_bound(self.moment + 1),
        )

    def take(self, page: RecordPage | None, now: StoreTime, limit: int) -> list[str]:
        """Return the keys to examine next: those of the page, and some whose rest is over."""
        keys: list[str] = []
        if page is not None:
            keys = [record.key for record in page.records if self.timer.is_due(record, now)]
            self.timer.undecodable.update(key for _, key in page.unreadable)
            self.after = page.end(self.timer.partition.index) if page.more else None
        some = list(islice(self.woken, limit))
        self.woken = self.woken[len(some) :]
        return list(dict.fromkeys([*keys, *some]))


def _bound(instant: int) -> str:
    """Return the bound below every sort value of this or a later time."""
    return f"{instant:016d}"
