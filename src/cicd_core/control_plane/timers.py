"""Timers: which records of one partition may be due, and what is known of those that are not.

A timer's partition is in the order of a lower bound: nothing in it is due earlier, and a record may
be due much later, since a renewal need not move the bound. So a record that was looked at rests: it
is not read again before its own time. Between two looks at the whole partition a sweep reads what
came in since the last one, and by its key each record whose rest is over.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeGuard, TypeVar

from attrs import define, field, frozen

from cicd_core.store.records import Guard, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Partition, Record, RecordPage, StoreTime

Entity = TypeVar("Entity")

_MICROS: Final = 1_000_000
#: How long (µs) a record rests that cannot be read or that the store refuses, and how long a sweep
#: relies on its memory until it looks at the whole partition again.
LONG_REST: Final = 60 * _MICROS
#: How long (µs) a record rests whose decision was refused for a reason that no time is known of.
SHORT_REST: Final = 5 * _MICROS
#: How far (µs) behind the last sweep's moment the next one begins: commits come late, pages lag.
OVERLAP: Final = 5 * _MICROS
#: So many records that rest are read along, where their own time is not that of a lease.
_FEW: Final = 20


@frozen
class _Rest:
    """A record that is not looked at for a while, as long as it is the one that was seen."""

    version: int
    #: When the rest is over (µs, steady).
    until: int


@define(kw_only=True, eq=False)
class Timer(Generic[Entity]):
    """One timer: how what is due is decided, and what the sweeps before learned of the rest.

    Its memory is of this process: it takes a few dozen bytes for each record that rests.
    """

    partition: Partition
    repository: Repository[Entity]
    decide: Callable[[Loaded[Entity], StoreTime], Decision[Entity]]
    guard: Guard = Guard.NONE
    #: Whether the partition is in the order of the steady clock, or of the calendar.
    steady: bool = True
    #: The name, in the report, of what became of an entity.
    result: Callable[[Entity], str]
    #: Logs the change of an entity, from what it was to what it is, once that is committed.
    log: Callable[[Entity, Entity], object]
    #: When (µs, steady) an entity is due that a decision left as it is; None: no time is known.
    due_at: Callable[[Entity], int | None]
    #: The keys of records that were due and do not decode.
    unreadable: set[str] = field(factory=set[str], init=False)
    #: The keys of those that not even the store can read, as its pages name them.
    undecodable: set[str] = field(factory=set[str], init=False)
    #: The records that rest, by their keys.
    _rests: dict[str, _Rest] = field(factory=dict[str, _Rest], init=False)
    #: The moment, on the timer's clock, up to which all records were looked at.
    _seen: int = field(default=0, init=False)
    #: When (µs, steady) the whole partition is looked at again.
    _whole_at: int = field(default=0, init=False)

    def begin(self, now: StoreTime) -> Round[Entity]:
        """Return a round over what may be due now."""
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
        """Note that a round has looked at everything."""
        self._seen = finished.moment
        if finished.is_whole and now.micros >= self._whole_at:
            self._whole_at = now.micros + LONG_REST

    def is_due(self, record: Record, now: StoreTime) -> bool:
        """Whether a record is due as far as it tells without its body; else it rests until then."""
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
        """The keys of all records that were due, or may be, and can't be read."""
        return self.unreadable | self.undecodable

    def holds(self, record: Record | None) -> TypeGuard[Record]:
        """Whether a record, read again, still is in the partition."""
        index = self.partition.index
        return record is not None and record.attributes.get(index.partition) == self.partition.value

    def rest(self, key: str, version: int, *, until: int) -> None:
        """Leave a record alone until a moment (µs, steady), or until it has another version."""
        self._rests[key] = _Rest(version, until)

    def rest_unread(self, key: str, version: int, now: StoreTime) -> None:
        """Leave a record alone that does not decode."""
        self.unreadable.add(key)
        self.rest(key, version, until=now.micros + LONG_REST)

    def forget(self, keys: Iterable[str]) -> None:
        """Know nothing of records any more: they have gone on, or are to be looked at anew."""
        for key in keys:
            self._rests.pop(key, None)
            self.unreadable.discard(key)


@define(kw_only=True, eq=False)
class Round(Generic[Entity]):
    """One sweep's way over one timer, a batch at a time."""

    timer: Timer[Entity]
    #: What is due at this moment of the timer's clock is looked at.
    moment: int
    #: The sort value behind which the next page begins; None: there is no page left.
    after: str | None
    #: The keys of records whose rest is over.
    woken: Sequence[str]
    is_whole: bool

    @property
    def is_over(self) -> bool:
        """Whether everything was looked at."""
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
        """Return the keys to look at next: what the page shows, and some whose rest is over."""
        keys: list[str] = []
        if page is not None:
            keys = [each.key for each in page.records if self.timer.is_due(each, now)]
            self.timer.undecodable.update(key for _, key in page.unreadable)
            self.after = page.end(self.timer.partition.index) if page.more else None
        some = list(islice(self.woken, limit))
        self.woken = self.woken[len(some) :]
        return list(dict.fromkeys([*keys, *some]))


def _bound(instant: int) -> str:
    """Return what every sort value of this moment, or a later one, is above."""
    return f"{instant:016d}"
