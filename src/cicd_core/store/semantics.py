"""The effect of the contract's verbs on a record, for stores that decide in Python.

The functions are pure. A store whose engine decides (a script in a server, a conditional update)
implements the same rules in its engine; the conformance suite tests both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.instants import sort_key
from cicd_core.store.limits import MAX_INSTANT
from cicd_core.store.records import KEEP, Guard, Lease, Put, Record, Renewed
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.store.records import Claim, Commit, Delete, Renewal, Subject


def subject_of(write: Put | Delete) -> Subject:
    """Return the collection and key of a write."""
    return write.collection, write.key


def applied_before(
    commit: Commit,
    records: Mapping[Subject, Record | None],
    given: Mapping[Subject, int],
) -> dict[Subject, int] | None:
    """Return the versions of a commit that was applied before; None: it was not (I6).

    Args:
        commit: the commit.
        records: the current state of each record that it writes; None: absent.
        given: the version from the last commit of each record; claims may have raised it.
    """
    versions: dict[Subject, int] = {}
    for write in commit.writes:
        if isinstance(write, Put):
            subject = (write.collection, write.key)
            record = records[subject]
            if record is None or record.commit_id != commit.commit_id:
                return None
            versions[subject] = given[subject]
    return versions


def conflicts(
    commit: Commit, records: Mapping[Subject, Record | None], now: int
) -> tuple[Subject, ...]:
    """Return the records that differ from a commit's expectation, or whose guard is false."""
    wrong: list[Subject] = []
    for write in commit.writes:
        record = records[write.collection, write.key]
        held = None if record is None or write.guard is Guard.NONE else record.lease
        if write.expected != (0 if record is None else record.version) or (
            held is not None and held.expires >= now
        ):
            wrong.append(subject_of(write))
    return tuple(wrong)


def replaced(put: Put, old: Record | None, commit_id: str, version: int) -> Record:
    """Return the record with which a put replaces ``old``."""
    return Record(
        key=put.key,
        version=version,
        commit_id=commit_id,
        body=put.body,
        attributes=dict(put.attributes),
        lease=_lease_after(put, old.lease if old else None),
        lease_limit=put.lease_limit,
        expires_at=put.expires_at,
    )


def _lease_after(put: Put, held: Lease | None) -> Lease | None:
    if put.lease is KEEP:
        return held
    if put.lease is not None and held is not None and held.claim_id == put.lease.claim_id:
        kept = min(held.expires, put.lease.limit)
        return evolve(
            put.lease,
            renewed=max(held.renewed, put.lease.renewed),
            expires=max(kept, put.lease.expires),
        )
    return put.lease


def lease_of(claim: Claim, of_record: int | None, now: int) -> Lease:
    """Return the lease of a claim; ``of_record`` is the record's own ``lease_limit``."""
    limits = [limit for limit in (claim.lease_limit, of_record) if limit is not None]
    ends = now + min(limits) if limits else MAX_INSTANT
    return Lease(
        claim_id=claim.claim_id,
        granted=now,
        renewed=now,
        expires=min(now + claim.duration, ends),
        limit=ends,
    )


def extended(held: Lease, duration: int, now: int) -> Lease:
    """Return an extended lease: never shorter, nor past its limit."""
    expires = max(held.expires, min(now + duration, held.limit))
    return evolve(held, renewed=max(held.renewed, now), expires=expires)


def granted(claim: Claim, record: Record, lease_sort: str | None, now: int) -> Record:
    """Return a record after a claim; ``lease_sort`` is that of its collection."""
    lease = lease_of(claim, record.lease_limit, now)
    attributes: dict[str, str | None] = {**record.attributes, **claim.patch}
    if lease_sort is not None:
        attributes[lease_sort] = sort_key(lease.expires, record.key)
    return evolve(
        record,
        version=record.version + 1,
        grant=claim.grant,
        lease=lease,
        attributes={name: text for name, text in attributes.items() if text is not None},
    )


def renewed(
    renewal: Renewal, record: Record | None, lease_sort: str | None, now: int
) -> Record | None:
    """Return a record with its lease extended; None if the renewal is not by its holder.

    The attribute that follows the lease moves along, unless it has another value, such as a
    deadline before the lease's end: so the reaper need not read every long-held record again and
    again.
    """
    held = None if record is None else record.lease
    if record is None or held is None or held.claim_id != renewal.claim_id:
        return None
    lease = extended(held, renewal.duration, now)
    attributes = dict(record.attributes)
    if lease_sort and attributes.get(lease_sort) == sort_key(held.expires, record.key):
        attributes[lease_sort] = sort_key(lease.expires, record.key)
    return evolve(record, lease=lease, attributes=attributes)


def answer_of(version: int, lease: Lease) -> Renewed:
    """Return the answer to a renewal that left a record with this version and lease."""
    return Renewed(version=version, renewed=lease.renewed, expires=lease.expires, limit=lease.limit)
