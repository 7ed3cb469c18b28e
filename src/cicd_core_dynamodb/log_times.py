"""The times that the log's promises rest on, in one table, and what must hold between them. Pure.

=================  =========  =====================================================================
time               value      what it bounds
=================  =========  =====================================================================
``UNCERTAIN``      2 s        how far a clock that is used may be off; it is in ``server_clock``
``APART``          4 s        how far two such clocks may be apart: one each way
``DELAY``          10 s       how old a journal item may be when its commit is sent
``RIPE``           14 s       what was placed longer ago is all there: a reader passes nothing by
``SETTLED``        60 s       from then on an undecided commit is named instead of waited for
``STALE``          35 min     after that no request that was sent can take effect any more
``KEPT``           7 days     how long journal items, and proofs of records that are gone, outlive
                              what they tell
``LOG_KEPT``       14 days    how long items of the log do
=================  =========  =====================================================================

:data:`RULES` says what must hold between them, and why; a property test runs journals by them.
"""

from __future__ import annotations

from typing import Final

from cicd_core_dynamodb.server_clock import UNCERTAIN

_MICROS: Final = 1_000_000
_MINUTE: Final = 60 * _MICROS
_DAY: Final = 86_400

#: How far (µs) two clocks may be apart.
APART: Final = 2 * UNCERTAIN
#: Seconds within which a journal item must be acknowledged, or its commit is not sent; and after
#: which a commit whose turn comes later is journalled again.
DELAY: Final = 10.0
#: What is older than this (µs) is all there, though the clocks of the writer and of the reader may
#: be off by as much as they may.
RIPE: Final = int(DELAY * _MICROS) + APART
#: After this long (µs) no process is about to create any more what another one has created.
SETTLED: Final = _MINUTE
#: For how long (µs) a signature is good, and how fast a clock may be that makes one that AWS takes.
SIGNED: Final = 15 * _MINUTE
FAST: Final = 15 * _MINUTE
#: After this long (µs) no request that was sent can be applied any more.
STALE: Final = 35 * _MINUTE
#: How long (s) a journal item stays after what it tells has left the log, and an item with proofs
#: after its record is gone: until then the log must have been read.
KEPT: Final = 7 * _DAY
#: How long (s) an item of the log stays after what it tells has left the log.
LOG_KEPT: Final = 14 * _DAY
#: How late (s) DynamoDB may drop what has run out.
DROPPED_LATE: Final = 2 * _DAY

#: What must hold, and why.
RULES: Final[dict[str, bool]] = {
    "a reader passes no item by that is not acknowledged yet": (
        int(DELAY * _MICROS) + APART <= RIPE
    ),
    "what is named as undecided is ripe, so that its item is there": RIPE < SETTLED,
    "what is void can't be applied: its request was sent late, and signed by a fast clock": (
        int(DELAY * _MICROS) + SIGNED + FAST + APART <= STALE
    ),
    "what is waited for may still be applied": SETTLED < STALE,
    "a journal item is there until nothing of it can be applied": STALE < KEPT * _MICROS,
    "the log outlives the journal, or what it has would be copied again": (
        KEPT + DROPPED_LATE < LOG_KEPT
    ),
}


def keeps_for(retention: int) -> int:
    """Return how long (µs) the journal's items are kept, where the log's are for ``retention``."""
    return retention + KEPT * _MICROS
