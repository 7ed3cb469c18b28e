"""The file of a log with a limit: it keeps the start and the end of the log.

While the log is shorter than half of its limit, it is one file. After that it continues in parts,
each named by the offset of its first byte (``build-1.log.33554432``). When a new part would exceed
the limit, the first file is cut to 1 MiB; later, the oldest part is removed. At the end, the parts
are appended to the first file, after a line with the number of omitted bytes. The files on disk can
be read in order at any time (:func:`read_piece`), even if the writer was killed.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from typing import TYPE_CHECKING, Final

from cicd_core.job_logs.limits import CUT_LINE, HEAD_BYTES, cut_line, part_bytes
from cicd_core.job_logs.pieces import Span, piece_of

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.job_logs.pieces import LogPiece

_COPY_BYTES: Final = 256 * 1024
_LONGEST_CUT: Final = 80


class CappedFile:
    """Appends to a log. Not safe to use from several threads at once."""

    def __init__(self, path: Path, limit: int) -> None:
        """Open the file; it is readable only by its user, because commands may print secrets.

        Args:
            path: the file; its present content counts.
            limit: maximum number of bytes on disk, at least ``LEAST_LIMIT``; while the parts are
                joined, the files may take an eighth more.

        Raises:
            OSError: the file can't be opened.
        """
        self._path = path
        self._limit = limit
        self._part_bytes = part_bytes(limit)
        self._parts: deque[tuple[int, int]] = deque()
        self._missing = 0
        try:
            self._main = _opened(path, os.O_EXCL)
            #: Whether the file did not exist before.
            self.is_new = True
        except FileExistsError:
            self._main = _opened(path)
            self.is_new = False
        self._main_bytes = os.fstat(self._main).st_size
        self._end = self._main_bytes
        self._file = self._main
        self._room: int = limit // 2 - self._main_bytes

    @property
    def descriptor(self) -> int:
        """The descriptor of the first file."""
        return self._main

    @property
    def end(self) -> int:
        """Length of the log in bytes, including omitted ones."""
        return self._end

    @property
    def is_divided(self) -> bool:
        """Whether there are parts that :meth:`close` joins."""
        return bool(self._parts)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: the disk refused some of them.
        """
        rest = memoryview(data)
        while rest:
            if self._room <= 0:
                self._begin_part()
            written = os.write(self._file, rest[: self._room])
            rest = rest[written:]
            self._room -= written
            self._end += written
            if self._parts:
                start, size = self._parts[-1]
                self._parts[-1] = (start, size + written)
            else:
                self._main_bytes += written

    def read(self, offset: int) -> LogPiece:
        """Return bytes of the log from an offset on, like :func:`read_piece`.

        It knows the files already, and does not list the folder.

        Raises:
            OSError: the files can't be read.
        """
        spans = [Span(0, self._main_bytes, self._path)]
        parts = [Span(start, size, part_path(self._path, start)) for start, size in self._parts]
        return piece_of([*spans, *parts], offset)

    def close(self) -> None:
        """Append the parts to the first file, and close it.

        Raises:
            OSError: they could not be joined; the files on disk are still readable.
        """
        try:
            self._close_part()
            self._join()
        finally:
            os.close(self._main)

    def _begin_part(self) -> None:
        self._close_part()
        self._make_room()
        path = part_path(self._path, self._end)
        self._file = _opened(path)
        self._parts.append((self._end, 0))
        self._room = self._part_bytes

    def _close_part(self) -> None:
        if self._file != self._main:
            os.close(self._file)
            self._file = self._main

    def _make_room(self) -> None:
        """Remove the oldest bytes after the first MiB until there is room for a part."""
        while self._bytes + self._part_bytes > self._limit:
            if self._main_bytes > HEAD_BYTES:
                os.ftruncate(self._main, HEAD_BYTES)
                self._missing += self._main_bytes - HEAD_BYTES
                self._main_bytes = HEAD_BYTES
            else:
                start, size = self._parts.popleft()
                part_path(self._path, start).unlink(missing_ok=True)
                self._missing += size

    @property
    def _bytes(self) -> int:
        return self._main_bytes + sum(size for _, size in self._parts)

    def _join(self) -> None:
        if self._parts and self._missing:
            _write_all(self._main, cut_line(self._missing).encode())
        while self._parts:
            path = part_path(self._path, self._parts[0][0])
            with contextlib.suppress(FileNotFoundError):  # its folder was removed
                _append(self._main, path)
                path.unlink(missing_ok=True)
            self._parts.popleft()


def read_piece(path: Path, offset: int) -> LogPiece:
    """Return bytes of a log from an offset on, while it is written or afterwards.

    Args:
        path: the first file of the log.
        offset: 0, or the ``next_offset`` of the previous piece.

    Raises:
        FileNotFoundError: there is no such log.
        OSError: the log can't be read.
    """
    return piece_of(_spans(path), offset)


def part_path(path: Path, start: int) -> Path:
    """Return the file of the part that begins at an offset of the log."""
    return path.with_name(f"{path.name}.{start}")


def parts_of(path: Path) -> list[tuple[int, Path]]:
    """Return the parts of a log on disk, each with the offset of its first byte."""
    prefix = f"{path.name}."
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(prefix)]
    starts = [name.removeprefix(prefix) for name in names]
    return sorted(
        (int(start), part_path(path, int(start)))
        for start in starts
        if re.fullmatch("[0-9]{1,18}", start)
    )


def _spans(path: Path) -> list[Span]:
    size = path.stat().st_size
    spans = [Span(0, size, path)]
    missing, line = _cut_of(path) if size > HEAD_BYTES else (0, 0)
    if missing:
        behind = HEAD_BYTES + line
        spans = [
            Span(0, HEAD_BYTES, path),
            Span(HEAD_BYTES + missing, size - behind, path, behind),
        ]
    for start, part in parts_of(path):
        with contextlib.suppress(FileNotFoundError):
            spans.append(Span(start, part.stat().st_size, part))
    return spans


def _cut_of(path: Path) -> tuple[int, int]:
    """Return the number of bytes omitted after the first MiB, and the length of the line."""
    with path.open("rb") as file:
        file.seek(HEAD_BYTES)
        found = CUT_LINE.match(file.read(_LONGEST_CUT))
    return (0, 0) if found is None else (int(found[1]), len(found[0]))


def _opened(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | flags, 0o600)


def _append(file: int, path: Path) -> None:
    with path.open("rb", buffering=0) as part:
        while data := part.read(_COPY_BYTES):
            _write_all(file, data)


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
