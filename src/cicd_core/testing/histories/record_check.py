"""Checks whether a record's history is linearizable: cheap checks first, the full search last.

An operation without an answer may have happened or not, so it may be omitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from cicd_core.store.records import Claim
from cicd_core.testing.histories.model import ABSENT, Sight, Write, record_steps
from cicd_core.testing.histories.oracle import Unstamped, check_versions
from cicd_core.testing.histories.wing_gong import LIMIT, Order, Stuck, linearize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cicd_core.testing.histories.model import RecordOperation, RecordState
    from cicd_core.testing.histories.oracle import Refuted

Refutation: TypeAlias = "Refuted[RecordOperation] | Stuck[RecordOperation, RecordState]"


def check_record(operations: Sequence[RecordOperation], *, limit: int = LIMIT) -> Refutation | None:
    """Return why the history of a record is not linearizable; None if it is.

    Raises:
        TooManyOrders: the search reached ``limit``: the result is unknown.
    """
    known = [operation for operation in operations if operation.is_known]
    try:
        refuted = check_versions(known)
    except Unstamped:
        pass
    else:
        if refuted is None or len(known) == len(operations):
            return refuted
    seen = set(_ids_seen(known))
    likely = [item for item in operations if item.is_known or _id_of(item) in seen]
    if len(likely) < len(operations):
        found = linearize(likely, ABSENT, record_steps, limit=limit)
        if isinstance(found, Order):
            return None
    found = linearize(operations, ABSENT, record_steps, limit=limit)
    return found if isinstance(found, Stuck) else None


def _ids_seen(known: Sequence[RecordOperation]) -> Iterator[str | None]:
    """Yield the commits and claims that answers show."""
    yield None
    for operation in known:
        if isinstance(operation.result, Sight):
            yield operation.result.content.commit_id
            if operation.result.lease is not None:
                yield operation.result.lease.claim_id


def _id_of(operation: RecordOperation) -> str | None:
    """Return the id of an operation, which answers show if it happened; None: it has none."""
    match operation.argument:
        case Write(commit_id=commit_id):
            return commit_id
        case Claim(claim_id=claim_id):
            return claim_id
        case _:
            return None
