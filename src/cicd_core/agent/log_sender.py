"""Sends a log to the control plane, from the agent's own file of it.

The file is the buffer: unsent parts wait there, not in memory, and a job never waits for its log.
If the limit of the file removes bytes before they were sent, a line with the number of omitted
bytes replaces them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

import anyio
import anyio.to_thread

from cicd_core.agent.retry import CALL_SECONDS, Backoff, answer_within
from cicd_core.errors import CicdError, TooLarge
from cicd_core.job_logs.contract import LogOffsetMismatch
from cicd_core.job_logs.limits import cut_line
from cicd_core.job_logs.masking import LogMasker
from cicd_core.job_logs.pieces import PIECE_BYTES

if TYPE_CHECKING:
    from cicd_core.agent.active_job import ActiveJob
    from cicd_core.agent.logs import JobLog
    from cicd_core.agent.protocols import LogSink
    from cicd_core.job_logs.masking import LogMasks
    from cicd_core.model.job import Job
    from cicd_core.threads import RunSoon

_log = logging.getLogger("cicd_core.agent")

#: Seconds between two chunks of a log that grows slowly.
_PAUSE_SECONDS: Final = 1.0
#: How long the report of an attempt waits for the rest of its log, in seconds.
_BEFORE_REPORT_SECONDS: Final = 2.0
#: After an attempt has ended, sending stops if no byte is accepted for so many seconds.
_STALLED_SECONDS: Final = 30.0
#: The smallest chunk in bytes, for a slow connection.
_LEAST_CHUNK: Final = 16 * 1024
#: Number of consecutive answers with another offset after which sending stops.
_MOST_MISMATCHES: Final = 8


class LogSender:
    """Sends one attempt's log while it grows. It belongs to the event loop that runs the job."""

    def __init__(
        self, holding: ActiveJob, log: JobLog, sink: LogSink, masks: LogMasks, run_soon: RunSoon
    ) -> None:
        """Take the log, the sink that receives it, and the masks for its secrets."""
        self._holding = holding
        self._log = log
        self._sink = sink
        self._masker = LogMasker(masks)
        self._run_soon = run_soon
        self._news = anyio.Event()
        self._is_called = False
        self._ending = anyio.Event()
        self._done = anyio.Event()
        #: Bytes read from the file, and bytes accepted by the sink after masking.
        self._read = 0
        self._taken = 0
        #: Size of the next chunk, and the maximum that the sink accepts.
        self._chunk = self._most = PIECE_BYTES
        self._backoff = Backoff()
        self._mismatches = 0
        #: Whether the agent's log already has a warning that nothing is accepted.
        self._is_warned = False
        self._refused = False
        self._taken_at = anyio.current_time()

    def call(self) -> None:
        """Note that the log has grown. Safe to call from any thread."""
        if not self._is_called:
            self._is_called = True
            self._run_soon(self._wake)

    def _wake(self) -> None:
        self._news.set()

    def end(self) -> None:
        """Note that the log is complete."""
        self._taken_at = anyio.current_time()
        self._ending.set()
        self._wake()

    async def wait_a_moment(self) -> None:
        """Return when all is sent, or after two seconds: no verdict waits longer for a log."""
        with anyio.move_on_after(_BEFORE_REPORT_SECONDS):
            await self._done.wait()

    async def run(self) -> None:
        """Send the log until all of it is sent after its end, or sending is refused."""
        try:
            while not self._refused:
                is_last = self._ending.is_set()
                size = await self._send_next(final=False)
                if size == 0 and is_last:
                    await self._send_next(final=True)
                    return
                if size == 0:
                    await self._news.wait()
                    self._news = anyio.Event()
                    self._is_called = False
                elif size < PIECE_BYTES:
                    with anyio.move_on_after(_PAUSE_SECONDS):
                        await self._ending.wait()
        finally:
            self._done.set()

    async def _send_next(self, *, final: bool) -> int:
        """Send the next piece of the file; return how many bytes of the file that were."""
        before = self._read
        data = await anyio.to_thread.run_sync(self._masked, final)
        if data or final:
            await self._send(data, complete=final)
        return self._read - before

    def _masked(self, final: bool) -> bytes:  # noqa: FBT001 - a thread takes no keywords
        """Return the next piece of the file with masks applied; runs in a thread."""
        try:
            piece = self._log.read(self._read)
        except OSError:  # the parts were just joined, or the file was removed or not yet created
            missing, data = 0, b""
        else:
            missing, data, self._read = piece.missing, piece.data, piece.next_offset
        if final and (lost := self._log.said - self._read) > 0:  # the disk refused these bytes
            missing, self._read = missing + lost, self._log.said
        cut = cut_line(missing).encode() if missing else b""
        return self._masker.feed(cut + data, final=final)

    async def _send(self, data: bytes, *, complete: bool) -> None:
        """Send bytes until they are accepted or finally refused, with any number of tries."""
        while (data or complete) and not self._refused:
            chunk = data[: self._chunk]
            is_last = complete and len(chunk) == len(data)
            try:
                with answer_within(CALL_SECONDS):
                    await self._sink.append(
                        self._holding.claimed, self._taken, chunk, complete=is_last
                    )
            except LogOffsetMismatch as wrong:
                data = self._from_the_end(data, wrong)
            except TooLarge as refused:
                self._shrink(len(chunk), refused)
            except CicdError as failed:
                await self._wait(failed)
            except Exception as defect:  # noqa: BLE001 - a defect of a sink must not end the agent
                self._refuse(defect)
            else:
                self._note(len(chunk))
                data = data[len(chunk) :]
                complete = complete and not is_last

    def _note(self, size: int) -> None:
        """Note that the sink accepted a chunk."""
        self._backoff.reset()
        self._is_warned, self._mismatches = False, 0
        self._taken, self._taken_at = self._taken + size, anyio.current_time()
        self._chunk = min(self._most, self._chunk * 2)

    async def _wait(self, failed: CicdError) -> None:
        """Wait before the next try, with a smaller chunk in case the connection is slow."""
        if not failed.recoverable or self._is_stalled():
            self._refuse(failed)
            return
        if not self._is_warned:
            _log.warning("%s: its log can't be sent for now: %s", self._holding, failed)
        self._is_warned = True
        self._chunk = min(self._chunk, max(_LEAST_CHUNK, self._chunk // 2))
        await anyio.sleep(self._backoff.next_delay())

    def _shrink(self, size: int, refused: TooLarge) -> None:
        """Send smaller chunks from now on."""
        if size <= _LEAST_CHUNK:
            self._refuse(refused)
        self._most = self._chunk = max(_LEAST_CHUNK, size // 2)

    def _from_the_end(self, data: bytes, wrong: LogOffsetMismatch) -> bytes:
        """Return the bytes to send so that they continue at the end of the sink's log."""
        self._mismatches += 1
        if wrong.complete or self._mismatches > _MOST_MISMATCHES:
            self._refuse(wrong)
        begin, self._taken = self._taken, wrong.end
        if wrong.end >= begin:  # a chunk arrived, but its answer was lost
            return data[wrong.end - begin :]
        return cut_line(begin - wrong.end).encode() + data  # the sink lost bytes it had accepted

    def _is_stalled(self) -> bool:
        ended = self._ending.is_set()
        return ended and anyio.current_time() - self._taken_at >= _STALLED_SECONDS

    def _refuse(self, why: Exception) -> None:
        defect = None if isinstance(why, CicdError) else why  # the traceback shows its place
        _log.warning("%s: the rest of its log is not sent: %s", self._holding, why, exc_info=defect)
        self._refused = True


def variables_of(job: Job) -> Mapping[str, object]:
    """Return the variables in a job's payload, where a shell job has them."""
    variables = job.payload.get("env")
    return cast("Mapping[str, object]", variables) if isinstance(variables, Mapping) else {}
