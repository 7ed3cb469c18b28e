"""Decides by its first record whether a journalled commit was applied, refused, or is undecided.

Pure. A record keeps the proofs of the commits that were applied to it. A proof is removed only
when the log has the commit's entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core_dynamodb import items
from cicd_core_dynamodb.log_times import APART, SETTLED, STALE
from cicd_core_dynamodb.tables import EXPIRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.store.records import Subject
    from cicd_core_dynamodb.calls import Item
    from cicd_core_dynamodb.ordering import Name, WaitingEntry

#: A record with more proofs than these loses those that are no longer needed.
MANY: Final = 16


def is_proved(each: WaitingEntry, there: Mapping[Subject, Item]) -> bool:
    """Whether the commit of an entry was applied."""
    return each.entry.proof in items.proofs_of(there.get(each.entry.anchor))


def is_void(each: WaitingEntry, there: Mapping[Subject, Item], now: int) -> bool:
    """Whether an entry will never be in the log, because its commit was not applied."""
    if is_proved(each, there):
        return False
    if each.micros < now - STALE:
        return True
    item = there.get(each.entry.anchor)
    if item is None:
        return False
    expected = each.entry.expected
    version = items.shown_number(item, items.VERSION)
    if version is None:
        deleted = items.shown_number(item, items.DELETED) or 0
        return bool(expected) and deleted >= expected
    if expected:
        return version > expected
    return each.micros < now - SETTLED or _has_lost(each, item, now)


def _has_lost(each: WaitingEntry, item: Item, now: int) -> bool:
    """Whether a creation cannot be applied, because another commit's record exists.

    While that record exists, it blocks the creation. After its deletion, the remaining item has
    the time of the deletion, which is later than the version that the creation would give, which
    is also a time. An expired record, or one expired by another clock, may be replaced.
    """
    gives = dict(each.entry.ranks).get(each.entry.anchor)
    expires = items.shown_number(item, EXPIRY)
    if gives is None or (expires is not None and expires <= now + APART):
        return False
    return gives < now - APART


def served(
    shard: int, there: Mapping[Subject, Item], waiting: Mapping[Name, WaitingEntry]
) -> dict[Subject, list[bytes]]:
    """Return the proofs, of records with many, that are no longer needed.

    ``waiting`` is the part of the shard's journal that the log does not have yet, read after the
    records: a proof of a commit that is not in it is in the log. Commits that enter the log now
    wait until the next time: their callers may have lost the answer, and look for the proof.
    """
    needed = {item.entry.proof for item in waiting.values()}
    return {
        subject: sorted(those)
        for subject, item in there.items()
        if len(proofs := items.proofs_of(item)) > MANY
        and (those := {proof for proof in proofs if proof[0] == shard} - needed)
    }
