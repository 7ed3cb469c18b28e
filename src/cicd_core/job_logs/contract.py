"""What keeps the logs of jobs: the promises of a log store."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - the fields of a value are read at run time
from typing import TYPE_CHECKING, Final, Protocol

from cicd_core.errors import OperationRejected
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.job_logs.pieces import LogPiece

#: The most bytes of one append.
MAX_CHUNK: Final = 1024 * 1024


@frozen
class LogId:
    """Which log: each attempt at a job has its own."""

    job_id: str
    #: 1 is the first.
    attempt: int


@frozen(kw_only=True)
class LogState:
    """How far a log is."""

    attempt: int
    #: How many bytes it has, with those that are left out: where the next append begins.
    end: int
    #: How many of them are kept.
    kept: int
    #: How many are kept from the first one on without a gap; the only gap, if any, begins there.
    head: int
    #: Whether its writer has said that nothing follows. An agent that was lost never does.
    complete: bool
    #: When it was last written to (UTC).
    written_at: datetime

    @property
    def missing(self) -> int:
        """How many bytes are left out."""
        return self.end - self.kept


class LogOffsetMismatch(OperationRejected):
    """Bytes that were sent for a log do not begin where it ends; nothing was written."""

    def __init__(self, offset: int, end: int, *, complete: bool = False) -> None:
        """Say where they begin, where the log ends, and whether it is complete."""
        advice = "it is complete: send nothing more" if complete else "send the bytes from there on"
        super().__init__(f"the log ends at {end}, and the bytes begin at {offset}; {advice}")
        self.offset = offset
        self.end = end
        self.complete = complete


class LogStore(Protocol):
    """Keeps logs. Safe to use from several tasks of one event loop.

    Every method raises ``StoreUnavailable`` where it can't be reached, and other errors of the
    store as they are named in :mod:`cicd_core.errors`.
    """

    async def append(
        self, log: LogId, offset: int, data: bytes, *, complete: bool = False
    ) -> LogState:
        """Append bytes that begin at a place of the log; return how far it is then.

        What the log has of them already is passed over, whatever it says there: an append that is
        repeated changes nothing.

        Atomicity: none. A part of the bytes may be kept, from the first one on; the end says so.
        Durability: what was answered survives the end of the writing process, however it ends.
        Concurrency: appends to one log are done one after the other, over all processes.

        Args:
            log: which one; the first append makes it.
            offset: where the bytes begin.
            data: at most 1 MiB.
            complete: whether nothing follows.

        Raises:
            LogOffsetMismatch: the bytes begin behind the log's end, or the log is complete and
                they go beyond its end. The error has the end.
            StoreFull: there is no room.
        """
        ...

    async def states(self, job_id: str) -> tuple[LogState, ...]:
        """Return how far the logs of a job are, the first attempt first; none: it has no log."""
        ...

    async def read(self, log: LogId, offset: int, most: int) -> LogPiece:
        """Return up to ``most`` bytes from a place on; what is left out there is passed over.

        No bytes: there is nothing at that place or behind it, or no such log.
        """
        ...

    async def clean(self, now: float) -> int:
        """Remove logs that are over a limit; return how many.

        Args:
            now: seconds since 1970.
        """
        ...
