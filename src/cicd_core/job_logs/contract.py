"""The contract of log stores, which keep the logs of jobs."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - the fields of a value are read at run time
from typing import TYPE_CHECKING, Final, Protocol

from cicd_core.errors import OperationRejected
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.job_logs.pieces import LogPiece

#: Maximum number of bytes in one append.
MAX_CHUNK: Final = 1024 * 1024


@frozen
class LogId:
    """The id of a log: each attempt at a job has its own log."""

    job_id: str
    #: The first attempt is 1.
    attempt: int


@frozen(kw_only=True)
class LogState:
    """The state of a log."""

    attempt: int
    #: Length in bytes, including omitted ones; the next append begins here.
    end: int
    #: Number of bytes that are kept.
    kept: int
    #: Number of bytes kept from the start without a gap; the only gap, if any, begins here.
    head: int
    #: Whether the writer has finished the log. A lost agent never finishes it.
    complete: bool
    #: Time of the last write (UTC).
    written_at: datetime

    @property
    def missing(self) -> int:
        """The number of omitted bytes."""
        return self.end - self.kept


class LogOffsetMismatch(OperationRejected):
    """The bytes sent for a log do not begin at its end; nothing was written."""

    def __init__(
        self, offset: int, end: int, *, complete: bool = False, total: int | None = None
    ) -> None:
        """Take the offset of the bytes, the end of the log, and whether the log is complete.

        ``total`` is the length that the writer gives the log, if these are its last bytes.
        """
        advice = "it is complete: send nothing more" if complete else "send the bytes from there on"
        if total is not None and total < end:
            fault = f"the log has {end} bytes already, so it can't end at {total}"
        else:
            fault = f"the log ends at {end}, and the bytes begin at {offset}"
        super().__init__(f"{fault}; {advice}")
        self.offset = offset
        self.end = end
        self.complete = complete


class LogStore(Protocol):
    """Keeps logs. Safe to use from several tasks of one event loop.

    Every method raises ``StoreUnavailable`` if the store can't be reached, and the other store
    errors of :mod:`cicd_core.errors` as their names say.
    """

    async def append(
        self, log: LogId, offset: int, data: bytes, *, complete: bool = False
    ) -> LogState:
        """Append bytes at an offset of the log; return the state of the log afterwards.

        The store skips bytes that the log already has, without comparing them. A repeated append
        therefore changes nothing.

        Atomicity: none. The store may keep only the first part of the bytes; see ``end``.
        Durability: acknowledged bytes survive the end of the writing process, even a kill.
        Concurrency: appends to one log run one after the other, across all processes.

        Args:
            log: the log; the first append creates it.
            offset: the offset of the first byte.
            data: at most 1 MiB.
            complete: whether these are the last bytes of the log.

        Raises:
            LogOffsetMismatch: the bytes begin after the log's end; or the log is complete and they
                go beyond its end; or they complete the log before its end. The error has the log's
                end, and nothing is written.
            StoreFull: there is no space left.
        """
        ...

    async def states(self, job_id: str) -> tuple[LogState, ...]:
        """Return the states of a job's logs in order of attempts; empty if it has no log."""
        ...

    async def read(self, log: LogId, offset: int, most: int) -> LogPiece:
        """Return up to ``most`` bytes from an offset on, without omitted bytes.

        The result is empty if there are no bytes at the offset or after it, or no such log.
        """
        ...

    async def clean(self, now: float) -> int:
        """Remove logs that exceed a limit; return the number of logs removed.

        Args:
            now: seconds since 1970.
        """
        ...
