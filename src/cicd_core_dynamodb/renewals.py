"""Renewals: one conditional update of attributes that are in no index."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cicd_core.errors import CorruptRecord, StoreUnavailable
from cicd_core.store.semantics import answer_of, extended
from cicd_core_dynamodb import items
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import number, text
from cicd_core_dynamodb.tables import EXPIRY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store.records import Lease, Renewal, Renewed
    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.items import HeldLease, Layout

#: The most attempts of a renewal, if the lease's limit is near or others write.
_ATTEMPTS: Final = 5


class Renewer:
    """Renews leases."""

    def __init__(self, calls: Calls, layouts: Mapping[str, Layout]) -> None:
        self._calls = calls
        self._layouts = layouts

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Renew each lease, repeated ones one after the other; answer in order."""
        now = (await self._calls.now()).micros
        answers: dict[int, Renewed | None] = {}

        async def renew_each(numbers: Sequence[int]) -> None:
            for at in numbers:
                answers[at] = await self._renew(renewals[at], now)

        same: dict[tuple[str, str], list[int]] = {}
        for at, renewal in enumerate(renewals):
            same.setdefault((renewal.collection, renewal.key), []).append(at)
        await all_of(partial(renew_each, numbers) for numbers in same.values())
        return [answers[at] for at in range(len(renewals))]

    async def _renew(self, renewal: Renewal, now: int) -> Renewed | None:
        layout = self._layouts[renewal.collection]
        held: Lease | None = None
        for _ in range(_ATTEMPTS):
            try:
                moved = _held(layout, await self._move(renewal, layout, held, now), now)
            except ConditionFailed as refused:
                there = _held(layout, refused.item, now)
                if there is None or there.lease.claim_id != renewal.claim_id:
                    return None
                held = there.lease
                continue
            return None if moved is None else answer_of(moved.version, moved.lease)
        raise StoreUnavailable(f"the lease of {renewal.key!r} changed during each renewal")

    async def _move(self, renewal: Renewal, layout: Layout, held: Lease | None, now: int) -> Item:
        """Renew a lease that was seen as ``held``; None: not seen, assumed far from its limit."""
        update, alive, expires = Expression(), now, now + renewal.duration
        update.require("{l} = {claim}", l=items.LEASE, claim=text(renewal.claim_id))
        update.require("attribute_not_exists({x}) OR {x} > {now}", x=EXPIRY, now=number(now))
        if held is None:
            update.require("{le} <= {expires}", le=items.EXPIRES, expires=number(expires))
            update.require("{ll} >= {expires}", ll=items.LIMIT, expires=number(expires))
            update.require("{lr} <= {alive}", lr=items.RENEWED, alive=number(alive))
        else:
            lease = extended(held, renewal.duration, now)
            alive, expires = lease.renewed, lease.expires
            update.require("{le} = {seen}", le=items.EXPIRES, seen=number(held.expires))
            update.require("{ll} = {limit}", ll=items.LIMIT, limit=number(held.limit))
            update.require("{lr} = {before}", lr=items.RENEWED, before=number(held.renewed))
        update.set({items.RENEWED: number(alive), items.EXPIRES: number(expires)})
        parameters = update.parameters(
            self._calls.table(renewal.collection), {items.KEY: layout.key(renewal.key)}
        )
        answer = await self._calls("update_item", ReturnValues="ALL_NEW", **parameters)
        moved: Item = answer["Attributes"]
        return moved


def _held(layout: Layout, item: Item | None, now: int) -> HeldLease | None:
    """Return the lease in an item; None: it has none, or one that does not decode.

    A damaged lease must not block the other renewals of an agent.
    """
    try:
        return layout.lease(item, now)
    except CorruptRecord as broken:
        items.left_alone(broken)
        return None
