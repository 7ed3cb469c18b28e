"""A log store in a folder, with one subfolder per job.

An acknowledged append was passed to the operating system by ``write``. It survives the end of this
process, even ``kill -9``, but not a power failure: then the end of a log may be missing, and the
writer has to continue where the log ends. ``fsync`` for every chunk would prevent that, but each
log would wait for the disk many times a second, and no decision depends on logs.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

import anyio.to_thread

from cicd_core.errors import InvalidInput, StoreFull, StoreReadOnly, StoreUnavailable, TooLarge
from cicd_core.job_logs import segments
from cicd_core.job_logs.contract import MAX_CHUNK
from cicd_core.job_logs.limits import KeptLog, LogLimits, over_limits
from cicd_core.job_logs.pieces import piece_of
from cicd_core.model.checks import NEVER_A_PATH, check_integer, check_kind, check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from cicd_core.job_logs.contract import LogId, LogState
    from cicd_core.job_logs.pieces import LogPiece

_T = TypeVar("_T")

#: Maximum length of a folder's name; a longer one is shortened and ends in a hash.
_LONGEST: Final = 200
_KEPT_OF_LONG: Final = 150
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_LAST_ATTEMPT: Final = 10**9 - 1


class FileLogStore:
    """Keeps logs as files in one folder, with a subfolder per job.

    Folders have the mode 0700 and files 0600: logs may hold secrets. Several processes may use one
    folder.
    """

    def __init__(self, folder: str | os.PathLike[str], limits: LogLimits | None = None) -> None:
        """Use ``folder``; a missing one is created for the current user only.

        Args:
            folder: a folder on a local disk.
            limits: how much to keep, and for how long; the defaults are 64 MiB per log, 10 GiB
                in total, and 14 days.

        Raises:
            InvalidInput: an argument has the wrong type, or no folder can have that path.
            StoreReadOnly, StoreFull, StoreUnavailable: the folder can't be created.
        """
        check_kind("folder", folder, str, os.PathLike)
        self._folder = Path(folder).absolute()
        self._limits = limits or LogLimits()
        check_kind("limits", self._limits, LogLimits)
        with _store_errors(self._folder):
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as refused:
                if refused.errno in {errno.EEXIST, *NEVER_A_PATH}:
                    reason = f"choose another path: {refused.strerror}"
                    raise InvalidInput("folder", str(folder), reason) from refused
                raise

    async def append(
        self, log: LogId, offset: int, data: bytes, *, complete: bool = False
    ) -> LogState:
        """Append bytes at an offset of the log; return the state of the log afterwards.

        Raises:
            InvalidInput: the id or the offset is invalid.
            TooLarge: there are more than 1 MiB.
            LogOffsetMismatch: they begin after the log's end, go beyond it in a complete log, or
                complete the log before its end.
            StoreFull, StoreReadOnly, StoreUnavailable: the disk refused some of them.
        """
        folder = self._folder_of(log.job_id)
        check_integer("attempt", log.attempt, least=1, most=_LAST_ATTEMPT)
        check_integer("offset", offset, least=0, most=2**62)
        if len(data) > MAX_CHUNK:
            raise TooLarge("data", len(data), MAX_CHUNK)
        return await self._in_thread(
            partial(
                segments.append,
                folder,
                log.attempt,
                offset,
                data,
                complete=complete,
                limit=self._limits.job_bytes,
            )
        )

    async def states(self, job_id: str) -> tuple[LogState, ...]:
        """Return the states of a job's logs in order of attempts; empty if it has no log.

        Raises:
            StoreReadOnly, StoreUnavailable: the folder can't be read.
        """
        files = await self._in_thread(partial(segments.files_in, self._folder_of(job_id)))
        return tuple(each.state for each in files)

    async def read(self, log: LogId, offset: int, most: int) -> LogPiece:
        """Return up to ``most`` bytes from an offset on, without omitted bytes.

        Raises:
            StoreReadOnly, StoreUnavailable: the files can't be read.
        """
        folder = self._folder_of(log.job_id)

        def read() -> LogPiece:
            while True:
                try:
                    return piece_of(segments.files_of(folder, log.attempt).spans, offset, most)
                except FileNotFoundError:  # just removed: the bytes after it are still there
                    continue

        return await self._in_thread(read)

    async def clean(self, now: float) -> int:
        """Remove logs that exceed a limit; return the number of logs removed.

        If a log is removed while its writer still works, it continues at the writer's offset.

        Args:
            now: seconds since 1970.

        Raises:
            StoreReadOnly, StoreUnavailable: a folder can't be read, or a log can't be removed; the
                others were still processed.
        """
        return await self._in_thread(partial(self._clean, now))

    def _clean(self, now: float) -> int:
        failed: list[OSError] = []
        kept: list[KeptLog[tuple[Path, int]]] = []
        for folder in self._folder.iterdir():
            with _noted(failed):
                if folder.is_dir() and not folder.is_symlink():
                    logs = segments.files_in(folder)
                    kept += [
                        KeptLog((folder, files.attempt), files.written_at, files.kept)
                        for files in logs
                    ]
                    if not logs:
                        segments.remove_if_empty(folder)
        number = 0
        for log in over_limits(kept, self._limits, now):
            with _noted(failed):
                number += segments.remove(*log.name)
        if failed:
            raise failed[0]
        return number

    def _folder_of(self, job_id: str) -> Path:
        return self._folder / folder_name(job_id)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        with _store_errors(self._folder):
            return await anyio.to_thread.run_sync(work)


def folder_name(job_id: str) -> str:
    """Return the name of a job's folder: its id, percent-encoded, including a leading dot.

    Raises:
        InvalidInput: it is not a valid id.
    """
    name = quote(check_name("job_id", job_id), safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_KEPT_OF_LONG]}~{hashlib.sha256(job_id.encode()).hexdigest()[:32]}"


@contextmanager
def _noted(failed: list[OSError]) -> Generator[None]:
    """Collect an error of the operating system, so that the other logs are still processed."""
    try:
        yield
    except OSError as refused:
        failed.append(refused)


@contextmanager
def _store_errors(folder: Path) -> Generator[None]:
    """Convert errors of the operating system to store errors.

    Raises:
        StoreFull, StoreReadOnly, StoreUnavailable: as their names say.
    """
    try:
        yield
    except OSError as refused:
        why = f"the folder of the logs, {folder}: {refused.strerror or refused}"
        if refused.errno in _FULL:
            raise StoreFull(f"{why}; free disk space, or lower the limits") from refused
        if refused.errno in _REFUSED:
            raise StoreReadOnly(f"{why}; give this user write permission") from refused
        raise StoreUnavailable(why) from refused
