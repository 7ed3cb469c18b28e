"""Logs of jobs, written and read: who may append, and where a log ends."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.clock import wall_micros
from cicd_core.control_plane.lease_owners import require_owner
from cicd_core.control_plane.log_following import FollowedPiece, LogFollower
from cicd_core.errors import LeaseLost, NotFound, StoreError
from cicd_core.job_logs.contract import MAX_CHUNK, LogId
from cicd_core.job_logs.pieces import PIECE_BYTES, LogPiece, start_of_last_lines
from cicd_core.model.checks import check_integer, check_kind
from cicd_core.model.claim import ClaimedJob, ClaimRef
from cicd_core.model.instants import SECOND

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.job_logs.contract import LogState, LogStore
    from cicd_core.model.job import LeaseToken

_log = logging.getLogger("cicd_core.job_logs")

#: Seconds between two removals of logs that exceed a limit.
_CLEAN_SECONDS: Final = 60.0
#: Number of attempts cached between the appends of their writers.
_REMEMBERED: Final = 16_384
#: Maximum number of lines of a tail, and the sizes of the end of a log that is searched for them.
MAX_TAIL_LINES: Final = 10_000
_TAIL_BYTES: Final = (64 * 1024, MAX_CHUNK)


class JobLogService:
    """Logs of jobs: append, read, follow. Pass it to an agent, or to a server.

    Example:
        An agent that reaches the store itself sends its logs to a folder:

        .. code-block:: python

            from cicd_core import ControlPlane
            from cicd_core.agent import Agent
            from cicd_core.control_plane.job_logs import JobLogService
            from cicd_core.job_logs import FileLogStore


            def agent_of(control_plane: ControlPlane) -> Agent:
                logs = JobLogService(control_plane, FileLogStore("/var/lib/cicd-core/logs"))
                return Agent(control_plane, log_dir="logs", send_logs=logs)
    """

    def __init__(self, control_plane: ControlPlane, store: LogStore) -> None:
        """Take the control plane that knows the jobs, and the store of their logs."""
        self._plane = control_plane
        self._store = store
        #: The attempts of writers, which never change.
        self._attempts: dict[tuple[str, LeaseToken, str | None], int] = {}

    async def append(
        self,
        claimed: ClaimedJob | ClaimRef,
        offset: int,
        data: bytes,
        *,
        complete: bool = False,
    ) -> LogState:
        """Append bytes to the log of the attempt with this token; return the log's state.

        The lease may have ended: the last output of an attempt belongs to its log. Bytes that the
        log already has are skipped, so a repeated call is harmless.

        Args:
            claimed: the claimed job, or its claim reference.
            offset: the offset of the first byte in the log.
            data: at most 1 MiB.
            complete: whether these are the last bytes of the log.

        Raises:
            LeaseLost: no attempt at the job has that token.
            NotPermitted: the attempt belongs to another agent.
            LogOffsetMismatch: the bytes begin after the log's end; the error has the end.
            StoreFull: there is no space left.
        """
        check_kind("claimed", claimed, ClaimedJob, ClaimRef)
        check_kind("data", data, bytes)
        return await self._store.append(
            await self._log_of(claimed), offset, data, complete=complete
        )

    async def states(self, job_id: str) -> tuple[LogState, ...]:
        """Return the states of a job's logs in order of attempts.

        Raises:
            NotFound: there is neither a log nor such a job.
        """
        states = await self._store.states(job_id)
        if not states:
            await self._plane.jobs.get(job_id)
        return states

    async def state(self, job_id: str, attempt: int | None = None) -> LogState:
        """Return the state of an attempt's log; by default, that of the newest attempt with a log.

        Raises:
            InvalidInput: ``attempt`` is less than 1.
            NotFound: there is no such job, or no such log.
        """
        if attempt is not None:
            check_integer("attempt", attempt, least=1, most=2**31)
        states = await self.states(job_id)
        found = [each for each in states if attempt in {None, each.attempt}]
        if not found:
            raise NotFound("log", job_id)
        return found[-1]

    async def read(
        self, job_id: str, attempt: int, offset: int = 0, *, most: int = PIECE_BYTES
    ) -> LogPiece:
        """Return up to ``most`` bytes of a log from an offset on; empty: there are none yet.

        Raises:
            InvalidInput: an argument is wrong.
        """
        log = LogId(job_id, check_integer("attempt", attempt, least=1, most=2**31))
        check_integer("offset", offset, least=0, most=2**62)
        check_integer("most", most, least=1, most=MAX_CHUNK)
        return await self._store.read(log, offset, most)

    async def tail(self, job_id: str, attempt: int | None = None, *, lines: int = 100) -> LogPiece:
        """Return the last lines of a log, at most 1 MiB of them.

        Raises:
            InvalidInput: ``lines`` is not 1 to 10,000.
            NotFound: there is no such log.
        """
        check_integer("lines", lines, least=1, most=MAX_TAIL_LINES)
        state = await self.state(job_id, attempt)
        log = LogId(job_id, state.attempt)
        found = LogPiece(data=b"", missing=0, next_offset=state.end)
        for most in _TAIL_BYTES:
            found = await self._end_of(log, state, most)
            start = start_of_last_lines(found.data, lines)
            if start is not None:
                data = found.data[start:]
                return LogPiece(data=data, missing=0, next_offset=found.next_offset)
            if found.missing or found.offset == 0:
                break
        return found

    async def _end_of(self, log: LogId, state: LogState, most: int) -> LogPiece:
        """Return the last bytes of a log; only those after the omitted part, if that is near."""
        data, missing = b"", 0
        place = max(0, state.end - most)
        while place < state.end:
            piece = await self._store.read(log, place, most)
            if not piece.data:
                break
            if piece.missing:
                data, missing = b"", piece.missing
            data += piece.data
            place = piece.next_offset
        return LogPiece(data=data, missing=missing, next_offset=place)

    def follower(self, job_id: str, *, attempt: int | None = None, offset: int = 0) -> LogFollower:
        """Return a follower that reads a log step by step; for the arguments see :meth:`follow`.

        Raises:
            InvalidInput: an argument is wrong.
        """
        return LogFollower(self._plane.jobs, self._store, job_id, attempt=attempt, offset=offset)

    async def follow(
        self, job_id: str, *, attempt: int | None = None, offset: int = 0
    ) -> AsyncGenerator[FollowedPiece, None]:
        """Yield pieces of a log as they come, until the attempt's log ends.

        Close it when you leave early: ``async with aclosing(logs.follow(job_id)) as pieces``.

        Args:
            job_id: the job.
            attempt: the attempt; by default the newest one, then those after it until the job has
                ended.
            offset: where to start in the first log.

        Raises:
            InvalidInput: an argument is wrong.
            NotFound: there is no such job.
        """
        follower = self.follower(job_id, attempt=attempt, offset=offset)
        async with aclosing(follower.pieces()) as pieces:
            async for piece in pieces:
                if piece is not None:
                    yield piece

    async def run(self) -> None:
        """Remove logs that exceed a limit, once a minute, until it is cancelled.

        A log is old only if both this machine's clock and the control plane's clock say so. If the
        store fails, the next run tries again.
        """
        while True:
            try:
                now = min(wall_micros() / SECOND, (await self._plane.now()).timestamp())
                await self._store.clean(now)
            except StoreError as failed:
                _log.warning("old logs of jobs can't be removed: %s", failed)
            await anyio.sleep(_CLEAN_SECONDS)

    async def _log_of(self, claimed: ClaimedJob | ClaimRef) -> LogId:
        if isinstance(claimed, ClaimedJob):
            return LogId(claimed.job.job_id, claimed.job.attempt)
        shown = (claimed.job_id, claimed.token, claimed.agent_id)
        if shown not in self._attempts:
            attempt = await self._attempt_of(claimed)
            if len(self._attempts) >= _REMEMBERED:
                self._attempts.clear()
            self._attempts[shown] = attempt
        return LogId(claimed.job_id, self._attempts[shown])

    async def _attempt_of(self, claimed: ClaimRef) -> int:
        """Return the attempt with this token.

        Raises:
            LeaseLost: there is none.
            NotPermitted: it belongs to another agent.
        """
        job_id, fence = claimed.job_id, claimed.token.fence
        try:
            job = await self._plane.jobs.get(job_id)
        except NotFound as gone:
            raise LeaseLost(job_id, fence, "the job no longer exists") from gone
        require_owner(job, claimed)
        for attempt in job.attempts:
            if attempt.token == claimed.token:
                return attempt.number
        raise LeaseLost(job_id, fence, "no attempt at the job has that token")
