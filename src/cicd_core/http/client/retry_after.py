"""``Retry-After``: how long a server asks its callers to wait (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from cicd_core.clock import wall_micros
from cicd_core.model.instants import from_micros

if TYPE_CHECKING:
    import httpx2

#: The longest pause that the client makes, in seconds. A caller that waits for an answer is better
#: served by an error than by the hour that some servers ask for.
MOST_SECONDS: Final = 10.0
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
#: The answers whose header counts: too many requests, and a server that is away for a moment.
_STATUSES: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


def asked_pause(response: httpx2.Response | None) -> float:
    """Return how long the server asks to wait before the next try, in seconds, at most 10.

    The header has seconds or a date. The answer's own ``Date`` is the time that a date is compared
    with, so that the clocks of server and client may differ. A header of another form counts as 0.

    Args:
        response: the answer; None: there was none.
    """
    if response is None or response.status_code not in _STATUSES:
        return 0.0
    asked = response.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(asked):
        return min(float(asked), MOST_SECONDS)
    until = _date(asked)
    if until is None:
        return 0.0
    now = _date(response.headers.get("date", "")) or from_micros(wall_micros())
    return min(max(0.0, (until - now).total_seconds()), MOST_SECONDS)


def _date(text: str) -> datetime | None:
    """Return the date in a header; None: it has none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
