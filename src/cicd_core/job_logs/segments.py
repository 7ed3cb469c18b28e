"""The files of a log, in the folder of its job.

Each file holds a part of one attempt's log. Its name has the attempt and the offset of its first
byte (``2-0000000000001048576.log``), so the files are the complete state, and a killed process
leaves nothing to repair. The first file ends at 1 MiB and stays. When the log would exceed its
limit, the oldest of the other files is removed. An empty file (``2.complete``) marks the log as
complete.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define, field

from cicd_core.job_logs.contract import LogOffsetMismatch, LogState
from cicd_core.job_logs.limits import HEAD_BYTES, part_bytes
from cicd_core.job_logs.locks import lock
from cicd_core.job_logs.pieces import Span
from cicd_core.model.instants import from_micros

if TYPE_CHECKING:
    from collections.abc import Generator

_FILE: Final = re.compile(r"([1-9][0-9]{0,8})(?:-([0-9]{19})\.log|\.complete)")
_SECOND: Final = 1_000_000


@define
class AttemptFiles:
    """The files of one log on disk."""

    attempt: int
    spans: list[Span] = field(factory=list[Span])
    is_complete: bool = False
    #: In seconds since 1970.
    written_at: float = 0.0

    @property
    def end(self) -> int:
        """The number of bytes of the log, including omitted ones."""
        return self.spans[-1].end if self.spans else 0

    @property
    def kept(self) -> int:
        """The number of bytes on disk."""
        return sum(span.size for span in self.spans)

    @property
    def head(self) -> int:
        """The number of bytes on disk from the start of the log without a gap."""
        end = 0
        for span in self.spans:
            if span.start != end:
                break
            end = span.end
        return end

    @property
    def state(self) -> LogState:
        """The state of the log."""
        return LogState(
            attempt=self.attempt,
            end=self.end,
            kept=self.kept,
            head=self.head,
            complete=self.is_complete,
            written_at=from_micros(int(self.written_at * _SECOND)),
        )


def files_in(folder: Path) -> list[AttemptFiles]:
    """Return the logs in the folder of a job in order of attempts; empty without a folder.

    Raises:
        OSError: the folder can't be read.
    """
    found: dict[int, AttemptFiles] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            named = _FILE.fullmatch(entry.name)
            if named is None:
                continue
            with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                facts = entry.stat(follow_symlinks=False)
                files = found.setdefault(int(named[1]), AttemptFiles(int(named[1])))
                files.written_at = max(files.written_at, facts.st_mtime)
                if named[2] is None:
                    files.is_complete = True
                else:
                    files.spans.append(Span(int(named[2]), facts.st_size, Path(entry.path)))
    for files in found.values():
        files.spans.sort(key=lambda span: span.start)
    return [found[attempt] for attempt in sorted(found)]


def files_of(folder: Path, attempt: int) -> AttemptFiles:
    """Return the files of one log; a missing log has no files.

    Raises:
        OSError: the folder can't be read.
    """
    every = (files for files in files_in(folder) if files.attempt == attempt)
    return next(every, AttemptFiles(attempt))


def append(
    folder: Path, attempt: int, offset: int, data: bytes, *, complete: bool, limit: int
) -> LogState:
    """Append bytes at an offset of a log.

    Args:
        folder: the folder of the job; a missing one is created for the current user only.
        attempt: the attempt whose log it is.
        offset: the offset of the first byte.
        data: the bytes; those that the log already has are skipped.
        complete: whether these are the last bytes of the log.
        limit: maximum number of bytes of the log on disk.

    Raises:
        LogOffsetMismatch: they begin after the log's end, go beyond it in a complete log, or
            complete the log before its end.
        OSError: the disk refused some of them.
    """
    with locked(folder):
        try:
            files = files_of(folder, attempt)
            _check_place(files, offset, len(data), complete=complete)
            if fresh := data[files.end - offset :]:
                _write(folder, files, fresh, limit)
            if complete and not files.is_complete:
                os.close(_opened(folder / f"{attempt}.complete", os.O_CREAT))
            return files_of(folder, attempt).state
        finally:
            _remove_empty(folder)  # a refused append of a job without a log leaves none behind


def _check_place(files: AttemptFiles, offset: int, size: int, *, complete: bool) -> None:
    """Check that bytes fit to what a log has.

    Raises:
        LogOffsetMismatch: they begin behind its end, go beyond that of a complete log, or end a log
            that is longer already.
    """
    end = files.end
    is_behind = offset > end or (files.is_complete and offset + size > end)
    if is_behind or (complete and offset + size < end):
        raise LogOffsetMismatch(
            offset,
            end,
            complete=files.is_complete,
            total=offset + size if complete else None,
        )


def remove_if_empty(folder: Path) -> None:
    """Remove the folder of a job that has no log: its writer was killed before the first byte.

    Raises:
        OSError: the folder can't be looked at.
    """
    with contextlib.suppress(BlockingIOError), locked(folder, wait=False):
        _remove_empty(folder)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it has logs
        folder.rmdir()


def remove(folder: Path, attempt: int) -> bool:
    """Remove a log, and the folder with its last log; return False if the folder is locked.

    Raises:
        OSError: the files can't be removed.
    """
    try:
        with locked(folder, wait=False):
            for span in files_of(folder, attempt).spans:
                span.path.unlink(missing_ok=True)
            (folder / f"{attempt}.complete").unlink(missing_ok=True)
            _remove_empty(folder)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Generator[None]:
    """Lock the logs of a job against other processes, if the file system supports locks.

    Raises:
        BlockingIOError: another process has the lock, and ``wait`` is false.
    """
    descriptor = _lock_of(folder, wait=wait)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock_of(folder: Path, *, wait: bool) -> int | None:
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # removed in the meantime
            continue
        except PermissionError:  # Windows can't open folders
            return None
        try:
            lock(descriptor, wait=wait)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:  # the file system does not support locks
            return descriptor
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
        os.close(descriptor)  # the folder was removed while this process waited


def _write(folder: Path, files: AttemptFiles, data: bytes, limit: int) -> None:
    rest = memoryview(data)
    while rest:
        spans = files.spans
        room = _room(spans, limit)
        if room <= 0:
            spans.append(Span(files.end, 0, folder / f"{files.attempt}-{files.end:019d}.log"))
            room = _room(spans, limit)
        part = rest[:room]
        # All but the first and the last file may go. A crash afterwards loses nothing more.
        while files.kept + len(part) > limit and len(spans) > 2:  # noqa: PLR2004 - those two
            spans.pop(1).path.unlink(missing_ok=True)
        written = _append_to(spans[-1].path, part)
        spans[-1] = Span(spans[-1].start, spans[-1].size + written, spans[-1].path)
        rest = rest[written:]


def _room(spans: list[Span], limit: int) -> int:
    """Return how many bytes still fit into the last file of a log."""
    if not spans:
        return 0
    return (HEAD_BYTES if spans[-1].start == 0 else part_bytes(limit)) - spans[-1].size


def _append_to(path: Path, data: memoryview) -> int:
    descriptor = _opened(path, os.O_CREAT | os.O_APPEND)
    try:
        return os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _opened(path: Path, flags: int) -> int:
    return os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0) | flags, 0o600)
