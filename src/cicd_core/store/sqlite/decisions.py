"""The requests of a batch, and how each one is decided on the records that the batch has read.

A commit applies as a whole or not at all, a renewal moves the expiry of a lease, and a claim takes
the records with the smallest sort values, or gets those that it took before. The rules are in
:mod:`cicd_core.store.semantics`.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from cicd_core.store.records import Claim, Committed, Conflict, Put
from cicd_core.store.semantics import (
    answer_of,
    applied_before,
    conflicts,
    granted,
    renewed,
    replaced,
    subject_of,
)
from cicd_core.store.sqlite.tables import ARMS, claim_of, in_pieces, is_live
from cicd_core.store.sqlite.unreadable import corrupt, find, find_whole
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cicd_core.store.records import Commit, Index, Record, Renewal, Renewed, Subject
    from cicd_core.store.sqlite.batch import Batch, Slot
    from cicd_core.store.sqlite.tables import Table
    from cicd_core.store.sqlite.unreadable import Found

#: A collection and a claim id.
Name = tuple[str, str]
#: Claims of one kind take from the same partitions: one query finds the records of all of them.
Kind = tuple[str, "Index", tuple[str, ...]]


@frozen(eq=False)
class CommitAll:
    """A request for a list of commits; the answer is a list of the same length."""

    commits: Sequence[Commit]

    def subjects(self) -> Iterator[Subject]:
        """Yield the records that the commits write."""
        for commit in self.commits:
            for write in commit.writes:
                yield write.collection, write.key


@frozen(eq=False)
class RenewAll:
    """A request for a list of renewals; the answer is a list of the same length."""

    renewals: Sequence[Renewal]

    def subjects(self) -> Iterator[Subject]:
        """Yield the records whose leases are renewed."""
        for renewal in self.renewals:
            yield renewal.collection, renewal.key


#: A request to a batch.
Request = CommitAll | RenewAll | Claim


def weight(request: Request) -> int:
    """Return how much of a batch's room a request takes."""
    return 1 if isinstance(request, Claim) else sum(1 for _ in request.subjects())


def decide(batch: Batch, requests: Sequence[Request]) -> list[Any]:
    """Decide the commits and renewals first, then the claims, which see what those have written.

    All requests of a batch are concurrent, so any order is correct. The answers are in the order
    of the requests.
    """
    answers: list[Any] = [None] * len(requests)
    batch.load(
        subject
        for request in requests
        if not isinstance(request, Claim)
        for subject in request.subjects()
    )
    claims: dict[int, Claim] = {}
    for number, request in enumerate(requests):
        if isinstance(request, CommitAll):
            answers[number] = [_commit(batch, commit) for commit in request.commits]
        elif isinstance(request, RenewAll):
            answers[number] = [_renew(batch, renewal) for renewal in request.renewals]
        else:
            claims[number] = request
    if claims:
        batch.flush()
        for number, records in zip(claims, _claim(batch, list(claims.values())), strict=True):
            answers[number] = records
    return answers


def _commit(batch: Batch, commit: Commit) -> Committed | Conflict:
    slots = {subject: batch.slot(subject) for subject in map(subject_of, commit.writes)}
    for subject, slot in slots.items():
        if not slot.is_readable:
            raise corrupt(*subject)
    records = {subject: slot.record for subject, slot in slots.items()}
    given = applied_before(commit, records, {item: slot.given for item, slot in slots.items()})
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


def _claim(batch: Batch, claims: Sequence[Claim]) -> list[list[Record]]:
    """Answer each claim, in the order given, from the rows that the batch has flushed."""
    answers, unreadable = _held(batch, claims)
    taking: dict[Name, Claim] = {}
    for claim in claims:
        is_new = not answers[_name(claim)] and _name(claim) not in unreadable
        if claim.limit and claim.partitions and is_new:
            taking.setdefault(_name(claim), claim)  # a repetition gets the first one's records
    kinds: defaultdict[Kind, list[Claim]] = defaultdict(list)
    for claim in taking.values():
        partitions = tuple(dict.fromkeys(claim.partitions))
        kinds[claim.collection, claim.index, partitions].append(claim)
    for kind, members in kinds.items():
        slots = iter(_smallest(batch, kind, sum(claim.limit for claim in members)))
        for claim in members:
            answers[_name(claim)] = _take(batch, claim, slots)
        batch.flush()
    return [answers[_name(claim)] for claim in claims]


def _name(claim: Claim) -> Name:
    return claim.collection, claim.claim_id


def _held(
    batch: Batch, claims: Sequence[Claim]
) -> tuple[defaultdict[Name, list[Record]], set[Name]]:
    """Return the records still held under the claims' ids, in the order of their sort values.

    The second value has the claims that hold a record that does not decode: they are not new.
    """
    wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for claim in claims:
        wanted[claim.collection][claim.claim_id] = claim.index.sort
    held: defaultdict[Name, list[Record]] = defaultdict(list)
    unreadable: set[Name] = set()
    for collection, sorts in wanted.items():
        table = batch.tables[collection]
        found = in_pieces(batch.connection, table.held, batch.namespace_id, list(sorts))
        for row in found.damaged:
            if is_live(row, batch.now) and (claim_id := claim_of(row)) is not None:
                unreadable.add((collection, claim_id))
        for row in found.whole:
            record = table.record(row)
            if record.lease and (record.expires_at is None or record.expires_at > batch.now):
                held[collection, record.lease.claim_id].append(record)
        for claim_id, sort in sorts.items():
            held[collection, claim_id].sort(key=partial(_in_order, sort))
    return held, unreadable


def _in_order(sort: str, record: Record) -> tuple[str, str]:
    return record.attributes.get(sort, ""), record.key


def _smallest(batch: Batch, kind: Kind, limit: int) -> list[Slot]:
    collection, index, partitions = kind
    table = batch.tables[collection]
    rows: list[Sequence[Any]] = []
    for start in range(0, len(partitions), ARMS):
        some = partitions[start : start + ARMS]
        rows += find_whole(partial(_smallest_of, batch, table, index, some), limit)
    rows.sort(key=table.sort_of(index))
    return [batch.adopt(table, row) for row in rows[:limit]]


def _smallest_of(
    batch: Batch, table: Table, index: Index, partitions: Sequence[str], limit: int
) -> Found:
    statement = table.smallest(index, partitions, batch.namespace_id, batch.now, limit)
    return find(batch.connection, *statement)


def _take(batch: Batch, claim: Claim, slots: Iterator[Slot]) -> list[Record]:
    """Grant the next records to a claim."""
    lease_sort = batch.tables[claim.collection].lease_sort
    taken: list[Record] = []
    while len(taken) < claim.limit and (slot := next(slots, None)) is not None:
        if slot.record is not None:
            record = granted(claim, slot.record, lease_sort, batch.now)
            batch.put((claim.collection, record.key), record, slot.given)
            taken.append(record)
    return taken
