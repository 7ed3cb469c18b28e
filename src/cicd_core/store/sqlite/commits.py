"""Whether a commit may be applied, and what it and a renewal make of their records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from cicd_core.model.instants import sort_key
from cicd_core.store.records import KEEP, Committed, Conflict, Guard, Put, Record, Renewed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.store.records import Commit, Delete, Lease, Renewal
    from cicd_core.store.sqlite.batch import Batch, Slot, Subject


def apply_commits(batch: Batch, commits: Iterable[Commit]) -> list[Committed | Conflict]:
    """Apply each commit whole, or not at all, to records that the batch has read."""
    return [_apply(batch, commit) for commit in commits]


def apply_renewals(batch: Batch, renewals: Iterable[Renewal]) -> list[Renewed | None]:
    """Move the leases of records that the batch has read."""
    return [_renew(batch, renewal) for renewal in renewals]


def _apply(batch: Batch, commit: Commit) -> Committed | Conflict:
    slots = {_subject(write): batch.slot(_subject(write)) for write in commit.writes}
    given = _given_before(commit, slots)
    if given is not None:
        return Committed(given)
    wrong = tuple(
        _subject(write)
        for write in commit.writes
        if not _is_as_expected(write, slots[_subject(write)].record, batch.now)
    )
    if wrong:
        return Conflict(wrong)
    versions: dict[Subject, int] = {}
    for write in commit.writes:
        subject = _subject(write)
        if isinstance(write, Put):
            record = _record(write, slots[subject], commit.commit_id, batch)
            batch.put(subject, record, claims=0)
            versions[subject] = record.version
        else:
            batch.drop(subject)
    for event in commit.events:
        batch.append(event, event.version or versions[event.collection, event.key])
    for increment in commit.increments:
        batch.increment(increment)
    return Committed(versions)


def _subject(write: Put | Delete) -> Subject:
    return write.collection, write.key


def _given_before(commit: Commit, slots: dict[Subject, Slot]) -> dict[Subject, int] | None:
    """Return the versions that this commit gave when it was applied; None: it was not."""
    given: dict[Subject, int] = {}
    for write in commit.writes:
        if isinstance(write, Put):
            slot = slots[_subject(write)]
            if slot.record is None or slot.record.commit_id != commit.commit_id:
                return None
            given[_subject(write)] = slot.record.version - slot.claims
    return given


def _is_as_expected(write: Put | Delete, record: Record | None, now: int) -> bool:
    if record is None:
        return write.expected == 0
    if write.guard is Guard.LEASE_EXPIRED and record.lease and record.lease.expires >= now:
        return False
    return write.expected == record.version


def _record(put: Put, slot: Slot, commit_id: str, batch: Batch) -> Record:
    return Record(
        key=put.key,
        version=batch.next_version(slot),
        commit_id=commit_id,
        body=put.body,
        attributes=put.attributes,
        lease=_lease_after(put, slot.record.lease if slot.record else None),
        lease_limit=put.lease_limit,
        expires_at=put.expires_at,
    )


def _lease_after(put: Put, held: Lease | None) -> Lease | None:
    if put.lease is KEEP:
        return held
    if put.lease is not None and held is not None and held.claim_id == put.lease.claim_id:
        return evolve(put.lease, expires=max(held.expires, put.lease.expires))
    return put.lease


def _renew(batch: Batch, renewal: Renewal) -> Renewed | None:
    subject = (renewal.collection, renewal.key)
    slot = batch.slot(subject)
    record = slot.record
    if record is None or record.lease is None or record.lease.claim_id != renewal.claim_id:
        return None
    held = record.lease
    lease = evolve(held, expires=max(held.expires, min(batch.now + renewal.duration, held.limit)))
    if lease != held:
        moved = _sort_moved(batch, renewal.collection, record, lease)
        batch.put(subject, evolve(record, lease=lease, attributes=moved), slot.claims)
    return Renewed(version=record.version, expires=lease.expires, limit=lease.limit)


def _sort_moved(batch: Batch, collection: str, record: Record, lease: Lease) -> dict[str, str]:
    """Return the attributes with the one that follows the lease moved on.

    One that says something else, a deadline before the lease's end say, stays. Moving it spares
    the reaper from looking at every record that is held for long, again and again.
    """
    attributes = dict(record.attributes)
    name = batch.tables[collection].lease_sort
    held = record.lease
    if name and held and attributes.get(name) == sort_key(held.expires, record.key):
        attributes[name] = sort_key(lease.expires, record.key)
    return attributes
