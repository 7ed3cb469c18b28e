"""A log keeps its beginning and its end, and is never larger on disk than its limit."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from cicd_core.agent.capped_log import (
    CappedFile,
    parts_of,
    read_piece,
)
from cicd_core.job_logs.limits import HEAD_BYTES, LEAST_LIMIT, cut_line

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = LEAST_LIMIT
LINE = 64


def lines(first: int, count: int) -> bytes:
    """Return numbered lines of 64 bytes."""
    return b"".join(b"%063d\n" % number for number in range(first, first + count))


def on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir())


def read_all(path: Path) -> tuple[bytes, int]:
    """Return all pieces of a log, and how many bytes they leave out."""
    said, missing, offset = b"", 0, 0
    while True:
        piece = read_piece(path, offset)
        if not piece.data:
            return said, missing
        said += piece.data
        missing += piece.missing
        offset = piece.next_offset


@pytest.mark.parametrize("size", [0, 1, HEAD_BYTES, LIMIT // 2, LIMIT // 2 + 1, LIMIT * 3 // 4])
def test_a_log_within_its_limit_is_kept_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a-1.log"
    data = lines(0, size // LINE + 1)[:size]
    file = CappedFile(path, LIMIT)
    file.write(data)
    assert read_all(path) == (data, 0)
    file.close()
    assert path.read_bytes() == data
    assert parts_of(path) == []
    assert read_all(path) == (data, 0)


@pytest.mark.parametrize("step", [1, 17, 999])
def test_a_long_log_keeps_its_beginning_and_its_end_within_the_limit(
    tmp_path: Path, step: int
) -> None:
    path = tmp_path / "a-1.log"
    file = CappedFile(path, LIMIT)
    count = 5 * LIMIT // LINE
    for first in range(0, count, step * 100):
        file.write(lines(first, min(step * 100, count - first)))
        assert on_disk(path) <= LIMIT
    unjoined = read_all(path)
    file.close()
    data = path.read_bytes()
    head, mark, end = data[:HEAD_BYTES], data[HEAD_BYTES:], b""
    missing = unjoined[1]
    line = cut_line(missing).encode()
    assert mark.startswith(line)
    end = mark[len(line) :]
    assert head == lines(0, HEAD_BYTES // LINE)
    assert HEAD_BYTES + missing + len(end) == count * LINE
    assert lines(0, count).endswith(end)
    assert len(end) >= (LIMIT - HEAD_BYTES) * 3 // 4
    assert unjoined == read_all(path) == (head + end, missing)
    assert [file.name for file in tmp_path.iterdir()] == ["a-1.log"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_reader_that_follows_misses_only_what_was_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a-1.log"
    file = CappedFile(path, LIMIT)
    said, missing, offset = b"", 0, 0
    count = 4 * LIMIT // LINE
    for first in range(0, count, 1000):
        file.write(lines(first, min(1000, count - first)))
        if first % 9000 == 0 and not 30_000 < first < 150_000:  # it sleeps in between
            piece = read_piece(path, offset)
            said, missing = said + piece.data, missing + piece.missing
            offset = piece.next_offset
    file.close()
    while (piece := read_piece(path, offset)).data:
        said, missing, offset = said + piece.data, missing + piece.missing, piece.next_offset
    assert missing > 0
    assert len(said) + missing == count * LINE
    assert said.startswith(lines(0, 5000))
    assert said.endswith(lines(count - 10_000, 10_000))


def test_the_parts_of_a_writer_that_was_killed_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a-1.log"
    file = CappedFile(path, LIMIT)
    data = lines(0, 3 * LIMIT // LINE)
    file.write(data)
    said, missing = read_all(path)
    assert len(said) + missing == len(data)
    assert data.endswith(said[HEAD_BYTES:])
    # Killed while it joined: the first part is in the file and beside it.
    _, part = parts_of(path)[0]
    copied = part.read_bytes()
    with path.open("ab") as main:
        main.write(cut_line(missing).encode() + copied)
    assert read_all(path) == (said, missing)
    os.close(file.descriptor)


def test_a_log_that_was_there_goes_on_within_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a-1.log"
    path.write_bytes(lines(0, LIMIT // LINE))
    file = CappedFile(path, LIMIT)
    assert not file.is_new
    file.write(lines(LIMIT // LINE, 10))
    file.close()
    assert path.stat().st_size <= LIMIT
    assert path.read_bytes().endswith(lines(LIMIT // LINE, 10))


def test_a_folder_that_was_removed_refuses_parts_and_closes(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = CappedFile(folder / "a-1.log", LIMIT)
    (folder / "a-1.log").unlink()
    folder.rmdir()
    file.write(b"x")
    with pytest.raises(FileNotFoundError):
        file.write(bytes(LIMIT))
    file.close()


def test_text_of_a_job_that_looks_like_a_cut_is_text(tmp_path: Path) -> None:
    path = tmp_path / "a-1.log"
    file = CappedFile(path, LIMIT)
    file.write(cut_line(5).encode() * 3)
    file.close()
    assert read_all(path) == (cut_line(5).encode() * 3, 0)


def test_a_log_that_does_not_exist_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_piece(tmp_path / "a-1.log", 0)
