"""Taking the records with the smallest sort values, or answering what was taken before."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from cicd_core.store.semantics import granted
from cicd_core.store.sqlite.tables import ARMS, in_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cicd_core.store.records import Claim, Index, Record
    from cicd_core.store.sqlite.batch import Batch, Slot

#: A collection and a claim id.
Name = tuple[str, str]
#: Claims of one kind take from the same partitions: one query finds the records of all of them.
Kind = tuple[str, "Index", tuple[str, ...]]


def apply_claims(batch: Batch, claims: Sequence[Claim]) -> list[list[Record]]:
    """Answer each claim, in the order given, from what the batch has flushed."""
    answers = _held(batch, claims)
    taking: dict[Name, Claim] = {}
    for claim in claims:
        if claim.limit and claim.partitions and not answers[_name(claim)]:
            taking.setdefault(_name(claim), claim)  # a repetition gets what the first one takes
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


def _held(batch: Batch, claims: Sequence[Claim]) -> defaultdict[Name, list[Record]]:
    """Return what is still held under the claims' ids, in the order of their sort values."""
    wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for claim in claims:
        wanted[claim.collection][claim.claim_id] = claim.index.sort
    held: defaultdict[Name, list[Record]] = defaultdict(list)
    for collection, sorts in wanted.items():
        table = batch.tables[collection]
        for row in in_pieces(batch.connection, table.held, batch.space, list(sorts)):
            record = table.record(row)
            if record.lease and (record.expires_at is None or record.expires_at > batch.now):
                held[collection, record.lease.claim_id].append(record)
        for claim_id, sort in sorts.items():
            held[collection, claim_id].sort(key=partial(_place, sort))
    return held


def _place(sort: str, record: Record) -> tuple[str, str]:
    return record.attributes.get(sort, ""), record.key


def _smallest(batch: Batch, kind: Kind, limit: int) -> list[Slot]:
    collection, index, partitions = kind
    table = batch.tables[collection]
    rows: list[Sequence[Any]] = []
    for start in range(0, len(partitions), ARMS):
        some = partitions[start : start + ARMS]
        rows += batch.connection.execute(
            *table.smallest(index, some, batch.space, batch.now, limit)
        )
    rows.sort(key=table.sort_of(index))
    return [batch.adopt(table, row) for row in rows[:limit]]


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
