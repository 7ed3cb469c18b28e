"""Following a log: piece by piece, over the attempts of its job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.job_logs.contract import LogId
from cicd_core.job_logs.pieces import PIECE_BYTES
from cicd_core.model.checks import check_integer, check_name
from cicd_core.model.job import RESTING_STATES
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.control_plane.jobs import JobService
    from cicd_core.job_logs.contract import LogState, LogStore
    from cicd_core.model.job import Job

#: First and longest time between reads of an idle log, in seconds.
_FIRST_PAUSE: Final = 0.1
_LAST_PAUSE: Final = 1.0
#: Silence after the end of an attempt, in seconds, after which its log is over even if the agent
#: did not mark it as complete: the agent was lost, or sends no logs.
_SILENCE: Final = 5.0


@frozen(kw_only=True)
class FollowedPiece:
    """A piece of a log that is followed."""

    attempt: int
    data: bytes
    #: Number of omitted bytes before them.
    missing: int
    #: The offset at which the next piece begins.
    next_offset: int


class LogFollower:
    """The position of one reader in the logs of a job."""

    def __init__(
        self,
        jobs: JobService,
        store: LogStore,
        job_id: str,
        *,
        attempt: int | None = None,
        offset: int = 0,
    ) -> None:
        """Start at an offset of an attempt's log; None: the newest attempt, and all later ones.

        Raises:
            InvalidInput: an argument is wrong.
        """
        if attempt is not None:
            check_integer("attempt", attempt, least=1, most=2**31)
        self._jobs = jobs
        self._store = store
        self._job_id = check_name("job_id", job_id)
        self._only = attempt
        self._attempt = attempt or 0
        self._offset = check_integer("offset", offset, least=0, most=2**62)
        self._pause = _FIRST_PAUSE
        self._quiet_since: float | None = None

    def begin_at(self, attempt: int, offset: int) -> None:
        """Continue at an offset of an attempt that this follower reads.

        Raises:
            InvalidInput: it is not a valid position.
        """
        self._attempt = check_integer("attempt", attempt, least=1, most=2**31)
        self._offset = check_integer("offset", offset, least=0, most=2**62)

    async def pieces(self) -> AsyncGenerator[FollowedPiece | None, None]:
        """Yield pieces as they come, and None at least once a second meanwhile; stop at the end.

        Raises:
            NotFound: there is no such job.
        """
        job = await self._jobs.get(self._job_id)
        if self._attempt == 0:
            self._attempt = max(job.attempt, 1)
        while True:
            state = await self._state()
            piece = await self._store.read(
                LogId(self._job_id, self._attempt), self._offset, PIECE_BYTES
            )
            if piece.data:
                self._pause, self._quiet_since = _FIRST_PAUSE, None
                self._offset = piece.next_offset
                yield FollowedPiece(
                    attempt=self._attempt,
                    data=piece.data,
                    missing=piece.missing,
                    next_offset=piece.next_offset,
                )
                continue
            job = await self._jobs.get(self._job_id)
            is_whole = state is not None and state.complete and self._offset >= state.end
            if is_whole or self._is_silent(job):
                if self._only is not None or _has_ended(job, self._attempt):
                    return
                if job.attempt > self._attempt:
                    self._attempt, self._offset, self._quiet_since = self._attempt + 1, 0, None
                    continue
            yield None
            await anyio.sleep(self._pause)
            self._pause = min(self._pause * 2, _LAST_PAUSE)

    async def _state(self) -> LogState | None:
        states = await self._store.states(self._job_id)
        return next((each for each in states if each.attempt == self._attempt), None)

    def _is_silent(self, job: Job) -> bool:
        """Return whether the attempt has ended, and no bytes came for a while."""
        if job.attempt <= self._attempt and job.state not in RESTING_STATES:
            self._quiet_since = None
            return False
        now = anyio.current_time()
        if self._quiet_since is None:
            self._quiet_since = now
        return now - self._quiet_since >= _SILENCE


def _has_ended(job: Job, attempt: int) -> bool:
    """Return whether no attempt follows this one."""
    return job.state in RESTING_STATES and job.attempt <= attempt
