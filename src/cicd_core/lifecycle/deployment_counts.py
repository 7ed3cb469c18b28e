"""Counts the deployments that were created, went live, failed and were rolled back.

The counter ``deployments/20261121|0915|live`` counts the deployments that went live in the quarter
of an hour from 09:15 UTC, in the group of its UTC day. The scheme of the names is that of
:mod:`cicd_core.queueing.measures`.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cicd_core.increments import Increment
from cicd_core.queueing.measures import slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: The kind of the groups, for :func:`cicd_core.queueing.measures.groups_between`.
DEPLOYMENTS: Final = "deployments"

_LAST = timedelta(minutes=15) - timedelta(microseconds=1)


def counted(at: datetime, result: str) -> Increment:
    """Return the increment for a deployment that reached ``result``.

    Args:
        at: when it reached it.
        result: ``created``, ``live``, ``failed`` or ``rolled_back``.
    """
    return Increment(f"{DEPLOYMENTS}/{slot_of(at)}|{result}")


def counts_between(
    values: Mapping[str, int], since: datetime, until: datetime
) -> Mapping[str, int]:
    """Return how many deployments reached each result.

    Args:
        values: the counters of all the groups of
            :func:`cicd_core.queueing.measures.groups_between`; names of another kind, or of
            another time, are ignored.
        since: the first moment, rounded down to a whole quarter of an hour.
        until: the first moment that is no longer counted, rounded up to a whole quarter.
    """
    first, behind = slot_of(since), slot_of(until + _LAST) if since < until else ""
    found: Counter[str] = Counter()
    for name, amount in values.items():
        kind, _, rest = name.partition("/")
        slot, _, result = rest.rpartition("|")
        if kind == DEPLOYMENTS and first <= slot < behind:
            found[result] += amount
    return found
