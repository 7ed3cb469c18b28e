"""Logs of jobs on the wire: headers with offsets, query strings, and places in streams."""

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

#: The header with the token of a lease, for bodies that are not JSON.
LEASE_TOKEN: Final = "Lease-Token"  # noqa: S105 - the name of a header
#: The headers of an answer with the log's attempt, and whether the log is complete.
ATTEMPT: Final = "Log-Attempt"
COMPLETE: Final = "Log-Complete"
#: The name of the message that ends a stream.
END: Final = "end"

_TOKEN: Final = re.compile(r"(-?[0-9]{1,19})\.([0-9a-f]{1,64})")
#: The name of a unit has no case (RFC 9110, 14.1).
_SENT: Final = re.compile(r"(?i:bytes) (?:\*|([0-9]{1,19})-([0-9]{1,19}))/(\*|[0-9]{1,19})")
_WANTED: Final = re.compile(r"(?i:bytes)=(?:([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19}))")
_PLACE: Final = re.compile(r"([1-9][0-9]{0,8})-([0-9]{1,18})")

Attempt = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 999_999_999})]
Lines = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 10_000})]
Offset = Annotated[int, Meta(extra_json_schema={"minimum": 0})]


class LogQuery(Asked):
    """The requested part of a log."""

    #: By default the newest attempt with a log.
    attempt: Attempt | None = None
    #: Only so many lines from the end.
    tail: Lines | None = None


class LogStreamQuery(Asked):
    """The log to follow, and where to start."""

    #: By default the newest attempt, and those after it.
    attempt: Attempt | None = None
    #: Where to start in the first log.
    offset: Offset = 0
    #: The form of the bytes: ``text`` replaces bytes that are not UTF-8.
    encoding: Literal["text", "base64"] = "text"


@frozen(kw_only=True)
class SentRange:
    """The range of bytes that are sent for a log."""

    offset: int
    #: The number of bytes.
    size: int
    #: Whether they are the last ones.
    complete: bool


def token_to_header(claimed: ClaimedJob | ClaimRef) -> str:
    """Return the token of a lease as a header."""
    return f"{claimed.token.fence}.{claimed.token.claim_id}"


def token_of_header(text: str | None) -> LeaseToken:
    """Return the token in a header.

    Raises:
        InvalidInput: it is missing or invalid.
    """
    found = _TOKEN.fullmatch(text or "")
    if found is None:
        reason = f"send the header {LEASE_TOKEN}: FENCE.CLAIM_ID, of the claim's answer"
        raise InvalidInput(LEASE_TOKEN, ..., reason)
    return LeaseToken(fence=int(found[1]), claim_id=found[2])


def range_to_header(offset: int, size: int, *, complete: bool) -> str:
    """Return the ``Content-Range`` for sent bytes of a log."""
    end = offset + size
    places = f"{offset}-{end - 1}" if size else "*"
    return f"bytes {places}/{end if complete else '*'}"


def range_of_header(text: str | None) -> SentRange | None:
    """Return the range in a ``Content-Range``; None: it is not usable.

    ``bytes 0-9/*`` sends ten bytes, ``bytes 0-9/10`` the last ten, and ``bytes */10`` none, but
    marks the end of the log: the complete length of RFC 9110, 14.4.
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
    """Return the offsets in a ``Range``; None: it is not one range, so the complete log is wanted.

    The second offset is after the last byte. If both are equal, the range is empty.

    Args:
        text: the header.
        end: the end of the log.
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
    """Return the offset of an answer's bytes; None: its ``Content-Range`` does not have it."""
    found = _SENT.fullmatch(text or "")
    return None if found is None or found[1] is None else int(found[1])


def place_to_text(attempt: int, offset: int) -> str:
    """Return the place at which a stream continues, as text."""
    return f"{attempt}-{offset}"


def place_of_text(text: str) -> tuple[int, int]:
    """Return the attempt and the offset in the place of a stream.

    Raises:
        InvalidCursor: it is damaged.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise InvalidCursor(text, "it is damaged: give the complete id of a message")
    return int(found[1]), int(found[2])
