"""Claims: the ready rows that an index shows, and one conditional update for each record taken.

The index only proposes records: it may lag, and other processes see the same rows. The update takes
a record; its condition is checked on the record itself.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import sleep

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import CorruptRecord
from cicd_core.model.instants import sort_key
from cicd_core.store.semantics import lease_of
from cicd_core_dynamodb import items
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.contention import Contention
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import binary, left_alone, number, text
from cicd_core_dynamodb.rows import Bounds
from cicd_core_dynamodb.tables import EXPIRY, LEASE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cicd_core.ids import IdSource
    from cicd_core.store.records import Claim, Record
    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.claim_intents import Marks
    from cicd_core_dynamodb.items import Layout
    from cicd_core_dynamodb.reads import Reader
    from cicd_core_dynamodb.rows import Row

#: How often a claim looks for records while other claims are always faster.
_LOOKS: Final = 6
#: How many rows beyond the limit are always read, as a reserve if other claims are faster.
_SPARE: Final = 8
#: Number of misses, before the first success, after which the index is read again.
_TRIES: Final = 3
#: The most concurrent updates of one claim.
_AT_ONCE: Final = 25
#: Time (s) for which an index may still show records that this process took.
_LAG: Final = 2.0


class Claimer:
    """Claims of one namespace."""

    def __init__(
        self,
        calls: Calls,
        layouts: Mapping[str, Layout],
        reader: Reader,
        marks: Marks,
        ids: IdSource,
        *,
        elapsed: Callable[[], float] = monotonic_seconds,
    ) -> None:
        """Set the parts for its reads and writes; ``elapsed`` is a clock in seconds."""
        self._calls = calls
        self._layouts = layouts
        self._reader = reader
        self._marks = marks
        self._ids = ids
        self._elapsed = elapsed
        self._contention = Contention()
        #: Records taken recently, which the index may still show: the time, and the sort value.
        self._taken: dict[tuple[str, str], tuple[float, str]] = {}

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim up to ``limit`` records, or return those that this claim took before."""
        layout = self._layouts[claim.collection]
        rows = await self._candidates(layout, claim) if claim.limit else []
        keys = [row.key for row in rows]
        if rows:
            marked = await self._marks.begin(claim.claim_id, keys)
        else:
            marked = await self._marks.find(claim.claim_id)
        if marked is not None:
            held = await self._held(layout, claim, marked)
            if held is not None or not claim.limit:
                return held or []
            rows = _first(marked, rows)
            new = [key for key in keys if key not in set(marked)]
            await self._marks.extend(claim.claim_id, new)
        return _ordered(await self._take_some(layout, claim, rows), claim)

    def forget(self, collection: str, keys: Iterable[str]) -> None:
        """Note that this process wrote records: they may be ready again."""
        for key in keys:
            self._taken.pop((collection, key), None)

    async def _held(self, layout: Layout, claim: Claim, keys: Sequence[str]) -> list[Record] | None:
        """Return the records that the claim holds, if they decode; None: it holds none."""
        now = (await self._calls.now()).micros
        found = (await self._reader.items(layout, keys)).values()
        held = [item for item in found if _holds(layout, claim.claim_id, item, now)]
        if not held:
            return None
        records = (item.live(now) for item in layout.readable(held))
        return _ordered([record for record in records if record is not None], claim)

    async def _take_some(self, layout: Layout, claim: Claim, rows: list[Row]) -> list[Record]:
        """Take records; while other claims are always faster, look again a few times."""
        taken = await self._take(layout, claim, rows)
        tried = {row.key for row in rows}
        for _ in range(_LOOKS - 1):
            if taken or not rows or self._contention.is_calm:
                break
            await sleep(self._contention.pause(self._ids.jitter()))
            rows = [row for row in await self._candidates(layout, claim) if row.key not in tried]
            keys = [row.key for row in rows]
            await self._marks.extend(claim.claim_id, keys)
            taken = await self._take(layout, claim, rows)
            tried.update(keys)
        return taken

    async def _candidates(self, layout: Layout, claim: Claim) -> list[Row]:
        """Return the rows to try, in order."""
        want = claim.limit + _SPARE
        stale = self._lately(layout)
        if not self._contention.is_calm:
            rows = await self._rows(layout, claim, want + self._contention.window, spread=True)
            fresh = [row for row in rows if stale.get(row.key) != row.sort]
            if fresh:
                fresh.sort(key=lambda _: self._ids.jitter())
                return fresh[: self._contention.tries(claim.limit)]
        rows = await self._rows(layout, claim, want)
        fresh = [row for row in rows if stale.get(row.key) != row.sort]
        if len(fresh) < claim.limit and len(rows) >= want:
            # Records taken here hide those after them: read that many more.
            rows = await self._rows(layout, claim, want + len(stale))
            fresh = [row for row in rows if stale.get(row.key) != row.sort]
        if not rows:
            self._contention = self._contention.nothing_there()
        # Records that seem taken may be ready again, or still: they are tried last.
        seems_taken = [row for row in rows if stale.get(row.key) == row.sort]
        return [*fresh, *seems_taken][:want]

    async def _rows(
        self, layout: Layout, claim: Claim, want: int, *, spread: bool = False
    ) -> list[Row]:
        """Return the first rows of a claim's partitions, in one order, or of one random shard.

        A shard that cannot answer, for example if throttled, is skipped if the others have enough.
        """
        values = list(dict.fromkeys(claim.partitions))
        rows = await self._reader.indexes.rows(
            layout,
            claim.index,
            values,
            Bounds(),
            want,
            shard=self._ids.jitter() if spread else None,
        )
        unavailable = rows.unavailable
        if unavailable is not None and len(rows.found) < claim.limit and not spread:
            raise unavailable
        return rows.found

    def _lately(self, layout: Layout) -> dict[str, str]:
        """Return the sort values of records taken here recently, by key."""
        before = self._elapsed() - _LAG
        for subject in [item for item, (at, _) in self._taken.items() if at < before]:
            del self._taken[subject]
        name = layout.collection.name
        return {key: sort for (of, key), (_, sort) in self._taken.items() if of == name}

    async def _take(self, layout: Layout, claim: Claim, rows: Sequence[Row]) -> list[Record]:
        # By key: a record that moved while the index was read appears in two rows.
        taken: dict[str, Record] = {}
        waiting = list(rows)
        misses = 0
        while waiting and len(taken) < claim.limit:
            few = min(claim.limit - len(taken), _AT_ONCE)
            now = waiting[:few]
            del waiting[:few]
            answers = await all_of(partial(self._take_one, layout, claim, row) for row in now)
            taken.update((record.key, record) for record in answers if record is not None)
            misses += sum(record is None for record in answers)
            if misses > len(taken) and self._contention.is_calm and misses >= _TRIES:
                break
        self._contention = self._contention.after(taken=len(taken), misses=misses)
        return list(taken.values())

    async def _take_one(self, layout: Layout, claim: Claim, row: Row) -> Record | None:
        """Take a record; None: it is not available any more."""
        limit = row.lease_limit
        while True:
            now = (await self._calls.now()).micros
            update = _grant(layout, claim, row, limit, now)
            key = {items.KEY: layout.key(row.key)}
            parameters = update.parameters(self._calls.table(claim.collection), key)
            try:
                answer = await self._calls("update_item", ReturnValues="ALL_NEW", **parameters)
            except ConditionFailed as refused:
                self._taken[claim.collection, row.key] = (self._elapsed(), row.sort)
                there = _live(layout, refused.item, now)
                if there is None:
                    return None
                if there.lease and there.lease.claim_id == claim.claim_id:
                    return there  # taken before, by this same claim
                if not _is_ready(there, claim, row) or there.lease_limit == limit:
                    return None
                limit = there.lease_limit  # the index did not have it
                continue
            self._taken[claim.collection, row.key] = (self._elapsed(), row.sort)
            # A damaged record does not block the others now: it has a lease, which will expire.
            return _live(layout, answer["Attributes"], now)


def _live(layout: Layout, item: Item | None, now: int) -> Record | None:
    """Return the record of an item; None: it is absent, or it does not decode."""
    seen = layout.readable([item] if item is not None else [])
    return seen[0].live(now) if seen else None


def _grant(layout: Layout, claim: Claim, row: Row, of_record: int | None, now: int) -> Expression:
    """Return the update that gives a record to a claim."""
    lease = lease_of(claim, of_record, now)
    update = Expression()
    update.increment(items.VERSION)
    values = {items.GRANT: binary(claim.grant), **items.lease_values(lease)}
    for name, value in claim.patch.items():
        if value is None:
            update.remove([name])
        else:
            values[name] = layout.attribute(name, value, row.key)
    if layout.collection.lease_sort is not None:
        values[layout.collection.lease_sort] = text(sort_key(lease.expires, row.key))
    update.set(values)
    _require_ready(update, layout, claim, row, now)
    if of_record is None:
        update.require("attribute_not_exists({m})", m=LEASE_LIMIT)
    else:
        update.require("{m} = {limit}", m=LEASE_LIMIT, limit=number(of_record))
    return update


def _require_ready(update: Expression, layout: Layout, claim: Claim, row: Row, now: int) -> None:
    """Require that the record is at its place in the index, and that this claim has not taken it.

    The place includes the sort value: a late update must not take a record that became ready again.
    """
    name, sort = claim.index.partition, claim.index.sort
    update.require("{p} = {place}", p=name, place=layout.attribute(name, row.value, row.key))
    update.require("{s} = {sort}", s=sort, sort=text(row.sort))
    update.require(
        "attribute_not_exists({l}) OR {l} <> {claim}", l=items.LEASE, claim=text(claim.claim_id)
    )
    update.require("attribute_not_exists({x}) OR {x} > {now}", x=EXPIRY, now=number(now))
    # The update adds one to the version: on a damaged item, it would be refused as malformed.
    update.require("attribute_type({v}, {n})", v=items.VERSION, n=text("N"))


def _is_ready(record: Record, claim: Claim, row: Row) -> bool:
    partition, sort = claim.index.partition, claim.index.sort
    return (record.attributes.get(partition), record.attributes.get(sort)) == (row.value, row.sort)


def _first(marked: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """Return the rows, those of a mark first, so that repeated calls of a claim take the same."""
    known = {row.key: row for row in rows}
    earlier = [known.pop(key) for key in dict.fromkeys(marked) if key in known]
    return [*earlier, *known.values()]


def _holds(layout: Layout, claim_id: str, item: Item, now: int) -> bool:
    """Whether a claim holds a record, even if other parts of the record do not decode."""
    try:
        held = layout.lease(item, now)
    except CorruptRecord as broken:
        left_alone(broken)
        return False
    return held is not None and held.lease.claim_id == claim_id


def _ordered(records: Iterable[Record], claim: Claim) -> list[Record]:
    sort = claim.index.sort
    return sorted(records, key=lambda item: (item.attributes.get(sort, ""), item.key))
