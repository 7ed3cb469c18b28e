"""What the verbs of the contract do to one record, for stores that decide in Python.

The functions are pure. A store whose engine decides (a script inside a server, a conditional
update) says the same in that engine's words; the conformance suite holds both to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from cicd_core.model.instants import sort_key
from cicd_core.store.limits import MAX_INSTANT
from cicd_core.store.records import KEEP, Guard, Lease, Put, Record, Renewed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.store.records import Claim, Commit, Delete, Renewal

#: A collection and a key.
Subject = tuple[str, str]


def subject_of(write: Put | Delete) -> Subject:
    """Return which record a write is about."""
    return write.collection, write.key


def applied_before(
    commit: Commit,
    records: Mapping[Subject, Record | None],
    given: Mapping[Subject, int],
) -> dict[Subject, int] | None:
    """Return the versions that a commit gave when it was applied before; None: it was not (I6).

    Args:
        commit: the commit.
        records: what stands now under each record that it writes; None: absent.
        given: the version that the last commit of each record gave; claims may have moved it on.
    """
    subjects = [subject_of(write) for write in commit.writes if isinstance(write, Put)]
    for subject in subjects:
        record = records[subject]
        if record is None or record.commit_id != commit.commit_id:
            return None
    return {subject: given[subject] for subject in subjects}


def conflicts(
    commit: Commit, records: Mapping[Subject, Record | None], now: int
) -> tuple[Subject, ...]:
    """Return the records that are not as a commit expects them, or whose guard does not hold."""
    return tuple(
        subject_of(write)
        for write in commit.writes
        if not _is_as_expected(write, records[subject_of(write)], now)
    )


def _is_as_expected(write: Put | Delete, record: Record | None, now: int) -> bool:
    if record is None:
        return write.expected == 0
    if write.guard is Guard.LEASE_EXPIRED and record.lease and record.lease.expires >= now:
        return False
    return write.expected == record.version


def replaced(put: Put, old: Record | None, commit_id: str, version: int) -> Record:
    """Return the record that a put makes in the place of ``old``."""
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


def granted(claim: Claim, record: Record, lease_sort: str | None, now: int) -> Record:
    """Return a record as a claim leaves it; ``lease_sort`` is its collection's."""
    limits = [each for each in (claim.lease_limit, record.lease_limit) if each is not None]
    limit = now + min(limits) if limits else MAX_INSTANT
    lease = Lease(
        claim_id=claim.claim_id,
        granted=now,
        renewed=now,
        expires=min(now + claim.duration, limit),
        limit=limit,
    )
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
    """Return a record with its lease moved on; None where the renewal is not its holder's.

    The attribute that follows the lease is moved along, unless it says something else, a deadline
    before the lease's end say: that spares the reaper from looking at every record that is held
    for long, again and again.
    """
    held = None if record is None else record.lease
    if record is None or held is None or held.claim_id != renewal.claim_id:
        return None
    expires = max(held.expires, min(now + renewal.duration, held.limit))
    attributes = dict(record.attributes)
    if lease_sort and attributes.get(lease_sort) == sort_key(held.expires, record.key):
        attributes[lease_sort] = sort_key(expires, record.key)
    lease = evolve(held, renewed=max(held.renewed, now), expires=expires)
    return evolve(record, lease=lease, attributes=attributes)


def answer_of(version: int, lease: Lease) -> Renewed:
    """Return the answer to a renewal that left a record with this version and lease."""
    return Renewed(version=version, renewed=lease.renewed, expires=lease.expires, limit=lease.limit)
