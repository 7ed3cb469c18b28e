"""The log of a job: lines in its own file, and the last of them for the dashboard."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from cicd_core.agent.answers import SetupFailed
from cicd_core.agent.capped_log import CappedFile, read_piece
from cicd_core.agent.log_folder import lock_log, note_log
from cicd_core.job_logs.limits import LogLimits
from cicd_core.model.outcome import MAX_URL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cicd_core.agent.fitness import Probe
    from cicd_core.job_logs.pieces import LogPiece

_log = logging.getLogger("cicd_core.agent")

#: How many bytes of the end of a log are kept for the outcome.
TAIL_BYTES: Final = 8 * 1024
#: How many bytes before that are searched for secrets that end in it: a private key is this long.
_BEFORE_TAIL: Final = 24 * 1024
_SEEN: Final = _BEFORE_TAIL + TAIL_BYTES


def check_log_dir(log_dir: Path | None) -> None:
    """Check that the agent can create files in its log folder, if any; costs one system call.

    Raises:
        SetupFailed: it can't.
    """
    if log_dir is None or os.access(log_dir, os.W_OK | os.X_OK):
        return
    why = "is not writable for this user" if log_dir.is_dir() else "no longer exists"
    raise SetupFailed(f"the folder of the logs, {log_dir}, {why}; choose another (--log-dir)")


def log_dir_probe(log_dir: Path | None) -> Probe:
    """Return a probe for the folder; it creates a missing folder for the current user only."""

    async def probe() -> None:
        if log_dir is not None:
            await anyio.Path(log_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        check_log_dir(log_dir)

    return probe


def _end_of(path: Path) -> tuple[bytes, bool]:
    """Return the bytes at the end of a file for its tail, and whether there are bytes before."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEEN))
        return file.read(), size > _SEEN


class JobLog:
    """The log of one attempt. Safe to use from several threads.

    If the disk refuses bytes, they are lost, but the job goes on: the end is kept in memory too.
    """

    def __init__(
        self,
        path: Path | None,
        limits: LogLimits | None = None,
        on_news: Callable[[], object] | None = None,
    ) -> None:
        """Append to the file at ``path``; None keeps only the end, in memory.

        ``on_news`` is called after each write, in the thread that writes.
        """
        self.path = path
        self.on_news = on_news
        self._limits = limits or LogLimits()
        self._lock = threading.Lock()
        self._file: CappedFile | None = None
        self._broken = False
        self._said = 0
        #: The end of the log, and up to as much again before it.
        self._end = bytearray()

    def write(self, line: str) -> None:
        """Add a line."""
        text = line.removesuffix("\n").encode(errors="replace")
        self.write_bytes(text + b"\n")

    def write_bytes(self, data: bytes) -> None:
        """Add bytes unchanged."""
        with self._lock:
            self._said += len(data)
            self._end += data[-_SEEN:]
            if len(self._end) > 2 * _SEEN:  # not after each line: that would copy all of it
                del self._end[:-_SEEN]
            if self.path is not None and not self._broken:
                self._to_file(self.path, data)
        if self.on_news is not None:
            self.on_news()

    @property
    def said(self) -> int:
        """Number of bytes written, including those that the file lost."""
        return self._said

    def read(self, offset: int) -> LogPiece:
        """Return bytes of the file from an offset on, while it is written or afterwards.

        Raises:
            OSError: there is no file, or it can't be read.
        """
        with self._lock:
            if self.path is None:
                raise FileNotFoundError("the log has no file")
            if self._file is not None:
                return self._file.read(offset)
            return read_piece(self.path, offset)

    def _to_file(self, path: Path, data: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._opened(path)
            self._file.write(data)
        except OSError as refused:
            self._broken = True
            _log.warning("the log %s cannot be written, its lines are lost: %s", path, refused)

    def _opened(self, path: Path) -> CappedFile:
        file = CappedFile(path, self._limits.job_bytes)
        lock_log(file.descriptor)
        if file.is_new:
            note_log(path)
        return file

    @property
    def url(self) -> str | None:
        """The URI of the file; None if it can't be found, or its path is too long to be stored."""
        if self.path is None:
            return None
        try:
            uri = self.path.absolute().as_uri() if self.path.exists() else ""
        except OSError:  # the folder is no longer accessible, which must not cost the verdict
            return None
        return uri if 0 < len(uri) <= MAX_URL else None

    def tail(self, mask: Callable[[bytes], bytes] = bytes) -> str | None:
        """Return the end of the log, at most 8 KiB; None if the log is empty.

        ``mask`` hides secrets. It sees more than the tail, so that it finds secrets that end in it.
        """
        with self._lock:
            end, said = bytes(self._end[-_SEEN:]), self._said
            written = 0 if self._file is None else self._file.end
        if self.path is not None and not self._broken:
            try:
                if self.path.stat().st_size > written:  # the handler wrote to the file directly
                    return _tail_of(*_end_of(self.path), mask)
            except OSError:  # it was removed
                pass
        return _tail_of(end, said > len(end), mask) or None

    async def aclose(self) -> None:
        """Append the parts of the file, if any, and close it."""
        with anyio.CancelScope(shield=True):
            if self._file is not None and self._file.is_divided:
                await anyio.to_thread.run_sync(self.close)
            else:
                self.close()

    def close(self) -> None:
        """Close the file; this may copy as many bytes as the limit of a log."""
        with self._lock:
            file, self._file = self._file, None
            self._broken = True
            if file is not None:
                try:
                    file.close()
                except OSError as refused:
                    _log.warning("the parts of the log %s were not joined: %s", self.path, refused)


def _tail_of(end: bytes, is_cut: bool, mask: Callable[[bytes], bytes]) -> str:  # noqa: FBT001 - the answer of _end_of
    """Return the masked end of a log, from the start of a line on."""
    shown = mask(end)
    if is_cut or len(shown) > TAIL_BYTES:
        shown = shown[-TAIL_BYTES:]
        shown = shown.partition(b"\n")[2] or shown
    return shown.decode(errors="replace")
