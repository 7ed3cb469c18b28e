"""Taking the records with the smallest sort values, or answering what was taken before."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from cicd_core.store.semantics import granted
from cicd_core.store.sqlite.tables import ARMS, claim_of, in_pieces, is_live
from cicd_core.store.sqlite.unreadable import find, find_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cicd_core.store.records import Claim, Index, Record
    from cicd_core.store.sqlite.batch import Batch, Slot
    from cicd_core.store.sqlite.tables import Table
    from cicd_core.store.sqlite.unreadable import Found

#: A collection and a claim id.
Name = tuple[str, str]
#: Claims of one kind take from the same partitions: one query finds the records of all of them.
Kind = tuple[str, "Index", tuple[str, ...]]


def apply_claims(batch: Batch, claims: Sequence[Claim]) -> list[list[Record]]:
    """Answer each claim, in the order given, from what the batch has flushed."""
    answers, unreadable = _held(batch, claims)
    taking: dict[Name, Claim] = {}
    for claim in claims:
        is_new = not answers[_name(claim)] and _name(claim) not in unreadable
        if claim.limit and claim.partitions and is_new:
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


def _held(
    batch: Batch, claims: Sequence[Claim]
) -> tuple[defaultdict[Name, list[Record]], set[Name]]:
    """Return what is still held under the claims' ids, in the order of their sort values.

    The second answer has the claims that hold what does not decode: they are no new ones.
    """
    wanted: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for claim in claims:
        wanted[claim.collection][claim.claim_id] = claim.index.sort
    held: defaultdict[Name, list[Record]] = defaultdict(list)
    unreadable: set[Name] = set()
    for collection, sorts in wanted.items():
        table = batch.tables[collection]
        found = in_pieces(batch.connection, table.held, batch.space, list(sorts))
        for row in found.damaged:
            if is_live(row, batch.now) and (claim_id := claim_of(row)) is not None:
                unreadable.add((collection, claim_id))
        for row in found.whole:
            record = table.record(row)
            if record.lease and (record.expires_at is None or record.expires_at > batch.now):
                held[collection, record.lease.claim_id].append(record)
        for claim_id, sort in sorts.items():
            held[collection, claim_id].sort(key=partial(_place, sort))
    return held, unreadable


def _place(sort: str, record: Record) -> tuple[str, str]:
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
    statement = table.smallest(index, partitions, batch.space, batch.now, limit)
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
