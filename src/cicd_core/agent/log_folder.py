"""The folder of an agent's logs: how much is kept, and for how long.

Agents of one user may share a folder. A list in the folder (``.cicd-core-logs``) names the logs
that agents created; nothing else in the folder is ever removed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cicd_core.agent.capped_log import parts_of
from cicd_core.job_logs.limits import KeptLog, over_limits
from cicd_core.job_logs.locks import lock

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from cicd_core.job_logs.limits import LogLimits
    from cicd_core.model.job import Job

_log = logging.getLogger("cicd_core.agent")

_LIST: Final = ".cicd-core-logs"
_NAME: Final = re.compile(r"[^/\n]+-[0-9]+\.log")


def log_name(job_id: str, attempt: int) -> str:
    """Return the name of a log: ``<job_id>-<attempt>.log``, with the id percent-encoded."""
    return f"{quote(job_id, safe='')}-{attempt}.log"


def log_path(log_dir: Path, job: Job) -> Path:
    """Return the file of a job's newest attempt."""
    return log_dir / log_name(job.job_id, job.attempt)


def note_log(path: Path) -> None:
    """Add a log to the list of logs that agents created.

    Raises:
        OSError: the list can't be written; this log is then never removed.
    """
    with _listed(path.parent) as names:
        os.write(names, f"{path.name}\n".encode())


def lock_log(descriptor: int) -> None:
    """Keep other agents from removing a log while the file is open."""
    with contextlib.suppress(OSError):  # the file system may not support locks
        lock(descriptor, shared=True)


def remove_old_logs(log_dir: Path, limits: LogLimits, now: float) -> list[str]:
    """Remove logs of agents that exceed a limit; return their names.

    A log that is still being written stays.

    Args:
        log_dir: the folder; nothing happens if it has no list of logs.
        limits: how much to keep, and for how long.
        now: seconds since 1970.

    Raises:
        OSError: the folder can't be read.
    """
    if not (log_dir / _LIST).exists():
        return []
    with _listed(log_dir) as names:
        size = os.fstat(names).st_size
        listed = os.pread(names, size, 0).decode(errors="replace").splitlines()
        kept = [found for name in dict.fromkeys(listed) if (found := _found(log_dir, name))]
        removed = {old.name for old in over_limits(kept, limits, now) if _remove(log_dir, old.name)}
        left = [log.name for log in kept if log.name not in removed]
        if left != listed:
            os.ftruncate(names, 0)
            os.write(names, "".join(f"{name}\n" for name in left).encode())
    return sorted(removed)


@contextlib.contextmanager
def _listed(log_dir: Path) -> Generator[int]:
    """Open the list of logs for appending, and lock it against other processes."""
    names = os.open(log_dir / _LIST, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        lock(names, wait=True)
        yield names
    finally:
        os.close(names)


def _found(log_dir: Path, name: str) -> KeptLog[str] | None:
    """Return a log of the list; None if it is missing or not a log."""
    path = log_dir / name
    if not _NAME.fullmatch(name) or path.is_symlink():
        return None
    try:
        files = [path.stat(), *(part.stat() for _, part in parts_of(path))]
    except OSError:
        return None
    return KeptLog(name, max(f.st_mtime for f in files), sum(f.st_size for f in files))


def _remove(log_dir: Path, name: str) -> bool:
    path = log_dir / name
    try:
        with path.open("rb") as file:
            lock(file.fileno())
            for _, part in parts_of(path):
                part.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
    except OSError as refused:  # usually because a job writes to it
        _log.debug("the log %s was not removed: %s", path, refused)
        return False
    return True
