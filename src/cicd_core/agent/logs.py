"""What a job says: lines in its own file, and the last of them for the dashboard."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from cicd_core.agent.answers import SetupFailed
from cicd_core.agent.capped_log import CappedFile
from cicd_core.agent.log_folder import LogLimits, lock_log, note_log
from cicd_core.model.outcome import MAX_URL

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.agent.handlers import Probe

_log = logging.getLogger("cicd_core.agent")

#: How much of the end of a log is kept for the outcome.
TAIL_BYTES: Final = 8 * 1024


def check_log_dir(log_dir: Path | None) -> None:
    """Check that the agent can make files in its folder, if it has one; costs one system call.

    Raises:
        SetupFailed: it can't.
    """
    if log_dir is None or os.access(log_dir, os.W_OK | os.X_OK):
        return
    why = "can't be written by this user" if log_dir.is_dir() else "is no folder any more"
    raise SetupFailed(f"the folder of the logs, {log_dir}, {why}; choose another (--log-dir)")


def log_dir_probe(log_dir: Path | None) -> Probe:
    """Return a probe for the folder; it makes one for this user alone if there is none."""

    async def probe() -> None:
        if log_dir is not None:
            await anyio.Path(log_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        check_log_dir(log_dir)

    return probe


def read_tail(path: Path) -> str:
    """Return the last 8 KiB of a file, from the beginning of a line."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        data = file.read()
    return _from_a_line(data, cut=size > TAIL_BYTES)


class JobLog:
    """The log of one attempt. Safe to use from several threads.

    A disk that refuses bytes loses them, never the job: the end is kept in memory too.
    """

    def __init__(self, path: Path | None, limits: LogLimits | None = None) -> None:
        """Write to the end of the file at ``path``; None keeps the end in memory only."""
        self.path = path
        self._limits = limits or LogLimits()
        self._lock = threading.Lock()
        self._file: CappedFile | None = None
        self._broken = False
        self._said = 0
        self._end = b""

    def write(self, line: str) -> None:
        """Add a line."""
        text = line.removesuffix("\n").encode(errors="replace")
        self.write_bytes(text + b"\n")

    def write_bytes(self, data: bytes) -> None:
        """Add bytes as they are."""
        with self._lock:
            self._said += len(data)
            self._end = (self._end + data[-TAIL_BYTES:])[-TAIL_BYTES:]
            if self.path is not None and not self._broken:
                self._to_file(self.path, data)

    def _to_file(self, path: Path, data: bytes) -> None:
        try:
            if self._file is None:
                self._file = self._opened(path)
            self._file.write(data)
        except OSError as refused:
            self._broken = True
            _log.warning("the log %s can't be written, its lines are lost: %s", path, refused)

    def _opened(self, path: Path) -> CappedFile:
        file = CappedFile(path, self._limits.job_bytes)
        lock_log(file.descriptor)
        if file.is_new:
            note_log(path)
        return file

    @property
    def url(self) -> str | None:
        """The file's URI; None if no file can be found, or its path is too long to be kept."""
        if self.path is None:
            return None
        try:
            uri = self.path.absolute().as_uri() if self.path.exists() else ""
        except OSError:  # its folder can't be entered any more: a verdict is not lost to that
            return None
        return uri if 0 < len(uri) <= MAX_URL else None

    def tail(self) -> str | None:
        """Return the end of what was said, at most 8 KiB; None if that is nothing."""
        with self._lock:
            end, said = self._end, self._said
            written = 0 if self._file is None else self._file.end
        if self.path is not None and not self._broken:
            try:
                if self.path.stat().st_size > written:  # the handler wrote to the file itself
                    return read_tail(self.path)
            except OSError:  # it was removed
                pass
        return _from_a_line(end, cut=said > len(end)) or None

    async def aclose(self) -> None:
        """Join the parts of the file, if there are any, and close it."""
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
                    _log.warning("the log %s stays in parts: %s", self.path, refused)


def _from_a_line(data: bytes, *, cut: bool) -> str:
    """Return a text from the beginning of a line on."""
    if cut:
        data = data.partition(b"\n")[2] or data
    return data.decode(errors="replace")
