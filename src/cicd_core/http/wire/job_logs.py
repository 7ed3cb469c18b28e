"""Logs of jobs on the wire: headers that say places, query strings, and places of streams."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal

from msgspec import Meta

from cicd_core.errors import InvalidCursor, InvalidInput
from cicd_core.http.wire.requests import Asked
from cicd_core.model.job import LeaseToken
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.model.claim import ClaimedJob, ClaimRef

#: The header that shows the token of a lease where the body is no JSON.
LEASE_TOKEN: Final = "Lease-Token"  # noqa: S105 - the name of a header
#: The headers of an answer that say which log it is of, and how far that is.
ATTEMPT: Final = "Log-Attempt"
COMPLETE: Final = "Log-Complete"
#: The name of the message that ends a stream.
END: Final = "end"

_TOKEN: Final = re.compile(r"(-?[0-9]{1,19})\.([0-9a-f]{1,64})")
_SENT: Final = re.compile(r"bytes (?:\*|([0-9]{1,19})-([0-9]{1,19}))/(\*|[0-9]{1,19})")
_WANTED: Final = re.compile(r"bytes=(?:([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19}))")
_PLACE: Final = re.compile(r"([1-9][0-9]{0,8})-([0-9]{1,18})")

Attempt = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 999_999_999})]
Lines = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 10_000})]
Offset = Annotated[int, Meta(extra_json_schema={"minimum": 0})]


class LogQuery(Asked):
    """Which part of a log."""

    #: Left out: the newest attempt that has a log.
    attempt: Attempt | None = None
    #: Only so many lines of its end.
    tail: Lines | None = None


class LogStreamQuery(Asked):
    """Which log is followed, and from where."""

    #: Left out: the newest attempt, and those that come after it.
    attempt: Attempt | None = None
    #: Where to begin in the first log.
    offset: Offset = 0
    #: How the bytes are written: ``text`` replaces what is no UTF-8.
    encoding: Literal["text", "base64"] = "text"


@frozen(kw_only=True)
class SentRange:
    """The places of bytes that are sent for a log."""

    offset: int
    #: How many there must be.
    size: int
    #: Whether nothing follows them.
    complete: bool


def token_to_header(claimed: ClaimedJob | ClaimRef) -> str:
    """Return how the header says the token of a lease."""
    return f"{claimed.token.fence}.{claimed.token.claim_id}"


def token_of_header(text: str | None) -> LeaseToken:
    """Return the token that the header shows.

    Raises:
        InvalidInput: it is missing or none.
    """
    found = _TOKEN.fullmatch(text or "")
    if found is None:
        reason = f"send the header {LEASE_TOKEN}: FENCE.CLAIM_ID, of the claim's answer"
        raise InvalidInput(LEASE_TOKEN, ..., reason)
    return LeaseToken(fence=int(found[1]), claim_id=found[2])


def range_to_header(offset: int, size: int, *, complete: bool) -> str:
    """Return how ``Content-Range`` says which bytes of a log are sent."""
    end = offset + size
    places = f"{offset}-{end - 1}" if size else "*"
    return f"bytes {places}/{end if complete else '*'}"


def range_of_header(text: str | None) -> SentRange | None:
    """Return which bytes a ``Content-Range`` says; None: it says nothing of use.

    ``bytes 0-9/*`` sends ten bytes, ``bytes 0-9/10`` the last ten, ``bytes */10`` none, and says
    that the log ends there.
    """
    found = _SENT.fullmatch(text or "")
    if found is None:
        return None
    first, last, total = found.groups()
    if first is None:
        return None if total == "*" else SentRange(offset=int(total), size=0, complete=True)
    end = int(last) + 1
    if end <= int(first) or total not in {"*", str(end)}:
        return None
    return SentRange(offset=int(first), size=end - int(first), complete=total != "*")


def wanted_range(text: str | None, end: int) -> tuple[int, int] | None:
    """Return the places that a ``Range`` asks for; None: of no one range, so of all there is.

    The second place is behind the last byte. Where both are equal there is nothing in the range.

    Args:
        text: the header.
        end: of the log.
    """
    found = _WANTED.fullmatch((text or "").strip())
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, end - int(suffix)), end
    begin = min(int(first), end)
    behind = end if last is None else min(int(last) + 1, end)
    return begin, max(begin, behind)


def place_of_range(text: str | None) -> int | None:
    """Return where the bytes of an answer begin; None: its ``Content-Range`` does not say."""
    found = _SENT.fullmatch(text or "")
    return None if found is None or found[1] is None else int(found[1])


def place_to_text(attempt: int, offset: int) -> str:
    """Return how a stream says where it goes on."""
    return f"{attempt}-{offset}"


def place_of_text(text: str) -> tuple[int, int]:
    """Return the attempt and the place that a stream said.

    Raises:
        InvalidCursor: it is damaged.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InvalidCursor(text, "it is damaged: give all of the id that a message had")
    return int(found[1]), int(found[2])
