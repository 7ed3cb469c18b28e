"""The writes of a commit as conditional updates: the new values, and the expected state.

The first attempt knows only the commit. If its condition fails, DynamoDB returns the item, and the
next attempt expects exactly that item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.model.instants import sort_key
from cicd_core.store.records import KEEP, Guard, Lease, Put
from cicd_core.store.semantics import replaced
from cicd_core.values import frozen
from cicd_core_dynamodb import items
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.items import number, text
from cicd_core_dynamodb.tables import EXPIRY, LEASE_LIMIT

if TYPE_CHECKING:
    from cicd_core.store.records import Delete, Record, StoreTime
    from cicd_core_dynamodb.calls import Value
    from cicd_core_dynamodb.items import Layout, Seen

_OF_LEASE: Final = (items.LEASE, items.GRANTED, items.RENEWED, items.EXPIRES, items.LIMIT)


@frozen(kw_only=True)
class Writing:
    """The common values of all writes in one attempt to apply a commit."""

    commit_id: str
    now: StoreTime
    #: The ids of the journal's entries, which the first record put keeps; none: no entries.
    proofs: tuple[bytes, ...] = ()


def update_of(
    write: Put | Delete, layout: Layout, seen: Seen | None, version: int, writing: Writing
) -> Expression:
    """Return one write of a commit as an update.

    Args:
        write: a write of the commit.
        layout: the layout of its collection.
        seen: the current record; None: not read yet.
        version: the version that a put gives.
        writing: the values that all writes of the commit share.
    """
    if not isinstance(write, Put):
        return _delete(write, layout, seen, writing)
    update, now = Expression(), writing.now.micros
    if seen is not None:
        _expect_seen(update, seen)
        record = replaced(write, seen.live(now), writing.commit_id, version)
        _replace(update, layout, record, now)
    elif write.expected:
        _expect(update, write, writing.now)
        _replace(update, layout, replaced(write, None, writing.commit_id, version), now, write)
    else:
        update.require("attribute_not_exists({v})", v=items.VERSION)
        update.require(
            "attribute_not_exists({z}) OR {z} < {new}", z=items.DELETED, new=number(version)
        )
        _replace(update, layout, replaced(write, None, writing.commit_id, version), now)
    if writing.proofs:
        update.add(items.PROOFS, {"BS": list(writing.proofs)})
    return update


def _replace(
    update: Expression, layout: Layout, record: Record, now: int, put: Put | None = None
) -> None:
    """Set all attributes of a record; ``put``, for a record that was not read, may keep some."""
    values = layout.written(record)
    if record.lease_limit is not None:
        values[LEASE_LIMIT] = number(record.lease_limit)
    if record.expires_at is not None:
        values[EXPIRY] = number(record.expires_at)
        values[items.TTL] = items.drop_after(record.expires_at, now)
    kept: set[str] = set()
    if put is not None and put.lease is KEEP:
        kept.update(_OF_LEASE)
    elif record.lease is not None:
        values |= items.lease_values(record.lease)
        if put is not None:
            _leave_bound(update, layout, record, record.lease, values)
            _expect_no_later_lease(update, record.lease)
    update.set(values)
    names = {*items.OWN, *layout.collection.attributes, *kept}
    update.remove(sorted(names - values.keys() - kept - record.attributes.keys()))


def _leave_bound(
    update: Expression,
    layout: Layout,
    record: Record,
    lease: Lease,
    values: dict[str, Value],
) -> None:
    """Leave the attribute that follows the lease unchanged if it is early enough.

    It is a lower bound of the lease's end, and a key of an index: a change costs two units.
    """
    name = layout.collection.lease_sort
    if name is None or record.attributes.get(name) != sort_key(lease.expires, record.key):
        return
    bound = values.pop(name)
    update.set_if_missing(name, bound)
    update.require("attribute_not_exists({due}) OR {due} <= {bound}", due=name, bound=bound)


def _expect_no_later_lease(update: Expression, lease: Lease) -> None:
    update.require(
        "attribute_not_exists({l}) OR {l} <> {claim} OR ({le} <= {expires} AND {lr} <= {renewed})",
        l=items.LEASE,
        claim=text(lease.claim_id),
        le=items.EXPIRES,
        expires=number(lease.expires),
        lr=items.RENEWED,
        renewed=number(lease.renewed),
    )


def _delete(write: Delete, layout: Layout, seen: Seen | None, writing: Writing) -> Expression:
    update = Expression()
    if seen is None:
        _expect(update, write, writing.now)
    else:
        _expect_seen(update, seen)
    now = writing.now.micros
    # An earlier creation that is still under way must not bring the record back.
    kept = {items.DELETED: number(max(write.expected, now)), items.TTL: items.drop_after(0, now)}
    update.set(kept)
    update.remove(sorted({*items.OWN, *layout.collection.attributes} - kept.keys()))
    return update


def _expect(update: Expression, write: Put | Delete, now: StoreTime) -> None:
    """Require the write's conditions: its version, no expiry, and the guard."""
    update.require("{v} = {expected}", v=items.VERSION, expected=number(write.expected))
    update.require("attribute_not_exists({x}) OR {x} > {now}", x=EXPIRY, now=number(now.micros))
    if write.guard is Guard.LEASE_EXPIRED:
        surely = number(now.micros - now.uncertainty)
        update.require(
            "attribute_not_exists({le}) OR {le} < {surely}", le=items.EXPIRES, surely=surely
        )


def _expect_seen(update: Expression, seen: Seen) -> None:
    """Require that the item was not written, claimed or renewed since it was seen."""
    record = seen.record
    if record is not None:
        update.require("{v} = {seen}", v=items.VERSION, seen=number(record.version))
        if record.lease is None:
            update.require("attribute_not_exists({le})", le=items.EXPIRES)
        else:
            expires, renewed = number(record.lease.expires), number(record.lease.renewed)
            update.require("{le} = {expires}", le=items.EXPIRES, expires=expires)
            update.require("{lr} = {renewed}", lr=items.RENEWED, renewed=renewed)
        return
    update.require("attribute_not_exists({v})", v=items.VERSION)
    if seen.deleted is None:
        update.require("attribute_not_exists({z})", z=items.DELETED)
    else:
        update.require("{z} = {deleted}", z=items.DELETED, deleted=number(seen.deleted))
