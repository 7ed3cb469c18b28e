"""The times behind the log's promises, in one table, and the rules between them. Pure.

=================  =========  =====================================================================
time               value      meaning
=================  =========  =====================================================================
``UNCERTAIN``      2 s        largest error of a used clock; it is in ``server_clock``
``APART``          4 s        largest difference of two such clocks: one each way
``DELAY``          10 s       largest age of a journal item when its commit is sent
``RIPE``           14 s       all items older than this exist: a reader skips none
``SETTLED``        60 s       after this an undecided commit is named, not awaited
``STALE``          35 min     after this a sent request can no longer take effect
``KEPT``           7 days     how long journal items, and proofs of deleted records, outlive
                              their events
``LOG_KEPT``       14 days    how long items of the log do
=================  =========  =====================================================================

:data:`RULES` has the rules between them, with reasons; a property test runs journals by them.
"""

from __future__ import annotations

from typing import Final

from cicd_core.model.instants import SECOND
from cicd_core_dynamodb.server_clock import UNCERTAIN

_MINUTE: Final = 60 * SECOND
_DAY: Final = 86_400

#: How far apart (µs) two clocks may be.
APART: Final = 2 * UNCERTAIN
#: Seconds within which a journal item must be acknowledged, or its commit is not sent. A commit
#: that is sent later than that is journalled again.
DELAY: Final = 10.0
#: All items older than this (µs) exist, even if the clocks of the writer and the reader have their
#: largest errors.
RIPE: Final = int(DELAY * SECOND) + APART
#: After this time (µs) no process tries any more to create a record that another one has created.
SETTLED: Final = _MINUTE
#: How long (µs) a signature is valid, and how fast a clock may be whose signature AWS accepts.
SIGNED: Final = 15 * _MINUTE
FAST: Final = 15 * _MINUTE
#: After this time (µs) a request that was sent can no longer be applied.
STALE: Final = 35 * _MINUTE
#: How long (s) a journal item stays after its events have left the log, and an item with proofs
#: after its record is gone. Within that time the log must be updated.
KEPT: Final = 7 * _DAY
#: How long (s) an item of the log stays after its events have left the log.
LOG_KEPT: Final = 14 * _DAY
#: Delay (s) with which DynamoDB may remove expired items.
DROPPED_LATE: Final = 2 * _DAY

#: The rules between the times, each with its reason.
RULES: Final[dict[str, bool]] = {
    "a reader skips no item before its acknowledgement": (int(DELAY * SECOND) + APART <= RIPE),
    "an item named as undecided is ripe, so it exists": RIPE < SETTLED,
    "a void item cannot be applied, even if sent late and signed by a fast clock": (
        int(DELAY * SECOND) + SIGNED + FAST + APART <= STALE
    ),
    "an awaited item may still be applied": SETTLED < STALE,
    "a journal item exists until no part of it can be applied": STALE < KEPT * SECOND,
    "the log outlives the journal, or items would be copied twice": (
        KEPT + DROPPED_LATE < LOG_KEPT
    ),
}


def keeps_for(retention: int) -> int:
    """Return how long (µs) the journal's items are kept if events are kept for ``retention``."""
    return retention + KEPT * SECOND
