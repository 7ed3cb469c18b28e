"""What a batch makes of the commits and renewals that are asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.store.records import Committed, Conflict, Put
from cicd_core.store.semantics import (
    answer_of,
    applied_before,
    conflicts,
    renewed,
    replaced,
    subject_of,
)
from cicd_core.store.sqlite.unreadable import corrupt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.store.records import Commit, Renewal, Renewed
    from cicd_core.store.semantics import Subject
    from cicd_core.store.sqlite.batch import Batch


def apply_commits(batch: Batch, commits: Iterable[Commit]) -> list[Committed | Conflict]:
    """Apply each commit whole, or not at all, to records that the batch has read."""
    return [_apply(batch, commit) for commit in commits]


def apply_renewals(batch: Batch, renewals: Iterable[Renewal]) -> list[Renewed | None]:
    """Move the leases of records that the batch has read."""
    return [_renew(batch, renewal) for renewal in renewals]


def _apply(batch: Batch, commit: Commit) -> Committed | Conflict:
    slots = {subject: batch.slot(subject) for subject in map(subject_of, commit.writes)}
    for subject, slot in slots.items():
        if not slot.is_readable:
            raise corrupt(*subject)
    records = {subject: slot.record for subject, slot in slots.items()}
    given = applied_before(commit, records, {each: slot.given for each, slot in slots.items()})
    if given is not None:
        return Committed(given)
    wrong = conflicts(commit, records, batch.now)
    if wrong:
        return Conflict(wrong)
    versions: dict[Subject, int] = {}
    for write in commit.writes:
        subject = subject_of(write)
        if isinstance(write, Put):
            version = versions[subject] = batch.next_version(slots[subject])
            record = replaced(write, records[subject], commit.commit_id, version)
            batch.put(subject, record, version)
        else:
            batch.drop(subject)
    for event in commit.events:
        batch.append(event, event.version or versions[event.collection, event.key])
    for increment in commit.increments:
        batch.increment(increment)
    return Committed(versions)


def _renew(batch: Batch, renewal: Renewal) -> Renewed | None:
    subject = (renewal.collection, renewal.key)
    slot = batch.slot(subject)
    lease_sort = batch.tables[renewal.collection].lease_sort
    record = renewed(renewal, slot.record, lease_sort, batch.now)
    if record is None or record.lease is None:
        return None
    if record != slot.record:
        batch.put(subject, record, slot.given)
    lease = record.lease
    return answer_of(record.version, lease)
