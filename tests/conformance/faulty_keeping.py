"""Memory stores that each make one mistake in what they keep, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from cicd_core.errors import InvalidCursor
from cicd_core.store import StoreTime, sort_key
from cicd_core.store.counter_days import first_kept_day
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.memory.log import Log
from cicd_core.store.memory.rows import Row, Rows, key_in, key_of_partition
from cicd_core.store.waiters import Waiter, Waiters

if TYPE_CHECKING:
    from cicd_core.store import Claim, Commit, LogPage, Put, Record, Renewal, Renewed, Watch
    from cicd_core.store.memory.rows import PartitionKey

#: In microseconds.
DAY = 86400 * 1_000_000


class _Endless(Log):
    def sweep(self, now: int) -> None:
        """Leave all as it is."""


class KeepsEveryEvent(MemoryBackend):
    """Its log grows for ever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._log = _Endless(retention=30 * DAY)


class _DropsDaysByItsOwnTime(MemoryBackend):
    def time_of(self, now: StoreTime) -> StoreTime:
        raise NotImplementedError

    def _tick(self) -> int:
        now = super()._tick()
        time = StoreTime(now, calendar=self._clock.calendar())  # type: ignore[attr-defined]  # the
        # suite's clock has one
        self._log.drop_days(first_kept_day(self.time_of(time)))
        return now


class DropsDaysByTheSteadyClock(_DropsDaysByItsOwnTime):
    def time_of(self, now: StoreTime) -> StoreTime:
        return StoreTime(now.micros, calendar=now.micros)


class DropsDaysByTheCalendar(_DropsDaysByItsOwnTime):
    def time_of(self, now: StoreTime) -> StoreTime:
        return StoreTime(now.calendar, calendar=now.calendar)


class DropsDaysADayEarly(_DropsDaysByItsOwnTime):
    def time_of(self, now: StoreTime) -> StoreTime:
        return StoreTime(now.micros + DAY, calendar=now.calendar + DAY)


class _WrongAboutDays(Log):
    def drop_days(self, first_kept: str) -> None:
        for names in self._days.values():
            names.append("never there")
        super().drop_days(first_kept)


class FailsWhereADayIsOver(MemoryBackend):
    """What it remembers of a day's counters is wrong, which it finds out when the day is over."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._log = _WrongAboutDays(retention=30 * DAY)


class _Forgetful(Waiters["PartitionKey"]):
    def _remove(self, waiter: Waiter[PartitionKey]) -> None:
        super()._remove(waiter)
        for watch in waiter.watches:
            self._crowds.pop(key_of_partition(watch.partition), None)


class ForgetsWhoWaitsBeside(MemoryBackend):
    """One wait that ends takes all others with it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiters = _Forgetful(key_of_partition)
        self._rows._entered = self._waiters.tell  # noqa: SLF001 - the mistake is made inside


class WaitsForWhatStaysAlone(MemoryBackend):
    """A record whose retention ends some day is not there for who waits."""

    def _is_true(self, watch: Watch, now: int) -> bool:
        return super()._is_true(watch, now + 365 * DAY)


class ClaimsWhatStaysAlone(MemoryBackend):
    """A record whose retention ends some day can't be claimed."""

    def _grant(self, claim: Claim, row: Row, now: int) -> Record:
        record = super()._grant(claim, row, now)
        if record.expires_at is None:
            return record
        record = evolve(record, expires_at=None)
        self._rows.put(claim.collection, Row(record, row.given))
        return record


class _Unordered(Rows):
    """Told of a record that comes, it passes on the key in the place of the sort value."""

    def _enter(self, partition: PartitionKey, at: str, expires_at: int | None) -> None:
        entered, self._entered = self._entered, lambda *_: None
        super()._enter(partition, at, expires_at)
        self._entered = entered
        entered(partition, key_in(at))


class WakesByTheKey(MemoryBackend):
    """Who waits above a bound is woken by the keys above it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _Unordered(self.collections, entered=self._waiters.tell)


class _HalfIn(Rows):
    def _move_in_indexes(self, collection: str, old: Record | None, new: Record | None) -> None:
        super()._move_in_indexes(
            collection, self._whole(collection, old), self._whole(collection, new)
        )

    def _whole(self, collection: str, record: Record | None) -> Record | None:
        if record is None:
            return None
        missing = {sort: f"0:{record.key}" for _, sort in self._indexes[collection]}
        return evolve(record, attributes={**missing, **record.attributes})


class ShowsWhatIsHalfInAnIndex(MemoryBackend):
    """A record that lacks the attribute of an index's order stands first in it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rows = _HalfIn(self.collections, entered=self._waiters.tell)


class MovesTheDueDateOfAnother(MemoryBackend):
    """A renewal writes an attribute that follows the lease, with a key that is not the record's."""

    def _renew(self, renewal: Renewal, now: int) -> Renewed | None:
        answer = super()._renew(renewal, now)
        row = self._rows.live((renewal.collection, renewal.key), now)
        name = self._lease_sort(renewal.collection)
        if answer is None or row is None or name is None:
            return answer
        due = sort_key(answer.expires, renewal.key)
        if row.record.attributes.get(name) == due:
            attributes = {**row.record.attributes, name: sort_key(answer.expires, "another")}
            record = evolve(row.record, attributes=attributes)
            self._rows.put(renewal.collection, Row(record, row.given))
        return answer


class RepeatsWithoutASortValue(MemoryBackend):
    """It can't order what has lost the attribute by which it was claimed."""

    async def claim(self, claim: Claim) -> list[Record]:
        taken = await super().claim(claim)
        sort = claim.index.sort
        return sorted(taken, key=lambda record: sort not in record.attributes)


class NamesNoCursor(MemoryBackend):
    """A cursor that is refused is not named."""

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        try:
            return await super().read_log(cursor, limit)
        except InvalidCursor as refused:
            raise InvalidCursor(None, refused.reason) from None


class ForgetsVersionsThatRanAhead(MemoryBackend):
    """It goes by the clock alone, where a record was made again that had expired."""

    def _put(self, put: Put, old: Record | None, commit: Commit, now: int) -> int:
        if old is None:
            vars(self._rows)["_floor"] = 1
        return super()._put(put, old, commit, now)
