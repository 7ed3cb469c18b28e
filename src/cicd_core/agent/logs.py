"""What a job says: lines in its own file, and the last of them for the dashboard."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import anyio

from cicd_core.agent.answers import SetupFailed
from cicd_core.model.outcome import MAX_URL

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from cicd_core.agent.handlers import Probe
    from cicd_core.model.job import Job

_log = logging.getLogger("cicd_core.agent")

#: How much of the end of a log is kept for the outcome.
TAIL_BYTES: Final = 8 * 1024
_TAIL_LINES: Final = 200


def log_path(log_dir: Path, job: Job) -> Path:
    """Return the file of one attempt: ``<job_id>-<attempt>.log``, the id quoted as in a URL."""
    return log_dir / f"{quote(job.job_id, safe='')}-{job.attempt}.log"


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


def open_log(path: Path) -> BinaryIO:
    """Open the end of a log, which is made for this user alone: commands print what is secret.

    Raises:
        OSError: it can't be opened.
    """
    return open(path, "ab", buffering=0, opener=partial(os.open, mode=0o600))
    # takes no opener


def read_tail(path: Path) -> str:
    """Return the last 8 KiB of a file, from the beginning of a line."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        data = file.read()
    if size > TAIL_BYTES:
        data = data.partition(b"\n")[2] or data
    return data.decode(errors="replace")


class JobLog:
    """The log of one attempt. Safe to use from several threads."""

    def __init__(self, path: Path | None) -> None:
        """Write to the end of the file at ``path``; None keeps the last lines in memory only."""
        self.path = path
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._broken = False

    def write(self, line: str) -> None:
        """Add a line. A file that can't be written loses the line, never the job."""
        text = line.removesuffix("\n").encode(errors="replace").decode()
        with self._lock:
            self._lines.append(text)
            if self.path is not None and not self._broken:
                self._to_file(self.path, text)

    def _to_file(self, path: Path, text: str) -> None:
        try:
            if self._file is None:
                self._file = open_log(path)
            self._file.write(f"{text}\n".encode())
        except OSError as refused:
            self._broken = True
            _log.warning("the log %s can't be written, its lines are lost: %s", path, refused)

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
        """Return the end of what was said, at most 8 KiB or 200 lines; None if that is nothing."""
        if self.path is not None:
            try:
                return read_tail(self.path) or None
            except OSError:  # no file, or none that can be read: what memory holds must do
                pass
        with self._lock:
            text = "".join(f"{line}\n" for line in self._lines)
        return text[-TAIL_BYTES:] or None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
