"""Limits of logs, in size and age: rules without I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from cicd_core.model.checks import check_integer, check_seconds
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

Name = TypeVar("Name")

_MEBIBYTE: Final = 1024 * 1024
#: Number of bytes at the start of a log that are always kept.
HEAD_BYTES: Final = _MEBIBYTE
#: The smallest limit of one log: its first bytes must be a small part of it.
LEAST_LIMIT: Final = 4 * HEAD_BYTES
#: Number of parts into which the rest of a log is divided at its limit.
_PARTS: Final = 8
_MOST: Final = 2**60
_CUT_BEGINS: Final = "\n[cicd-core: "
_CUT_ENDS: Final = " bytes omitted]\n"
#: The line that :func:`cut_line` returns; its group is the number.
CUT_LINE: Final = re.compile(
    f"{re.escape(_CUT_BEGINS)}([0-9]{{1,18}}){re.escape(_CUT_ENDS)}".encode()
)


@frozen(kw_only=True)
class LogLimits:
    """How much of the logs is kept, and for how long.

    Raises:
        InvalidInput: a field is wrong; the error names it.
    """

    #: Maximum size of one log in bytes: its first MiB and its end are kept. At least 4 MiB.
    job_bytes: int = 64 * _MEBIBYTE
    #: How long a log is kept after the last write to it, in seconds.
    keep_seconds: float = 14 * 86400.0
    #: Maximum size of all logs in bytes: the oldest are removed first.
    total_bytes: int = 10 * 1024 * _MEBIBYTE

    def __attrs_post_init__(self) -> None:
        check_integer("job_bytes", self.job_bytes, least=LEAST_LIMIT, most=_MOST)
        check_seconds("keep_seconds", self.keep_seconds)
        check_integer("total_bytes", self.total_bytes, least=0, most=_MOST)


@frozen
class KeptLog(Generic[Name]):
    """A log in the store."""

    name: Name
    #: Time of the last write, in seconds since 1970.
    written_at: float
    #: In bytes.
    size: int


def part_bytes(limit: int) -> int:
    """Return the size of the parts that are removed one by one when a log reaches its limit."""
    return (limit - HEAD_BYTES) // _PARTS


def cut_line(missing: int) -> str:
    """Return the line that replaces a number of omitted bytes."""
    return f"{_CUT_BEGINS}{missing}{_CUT_ENDS}"


def over_limits(
    kept: Iterable[KeptLog[Name]], limits: LogLimits, now: float
) -> Generator[KeptLog[Name]]:
    """Yield the logs that are too old, and the oldest ones while all together are too large.

    Args:
        kept: all logs.
        limits: how much to keep, and for how long.
        now: seconds since 1970.
    """
    every = sorted(kept, key=lambda log: log.written_at)
    left = sum(log.size for log in every)
    for log in every:
        if now - log.written_at <= limits.keep_seconds and left <= limits.total_bytes:
            return
        left -= log.size
        yield log
