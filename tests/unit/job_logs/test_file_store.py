"""Logs in a folder: what was answered is there, once, at its place, within the limit."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import InvalidInput, LogOffsetMismatch, StoreError, TooLarge, UnknownScheme
from cicd_core.job_logs import FileLogStore, LogId, LogLimits, LogState, open_log_store
from cicd_core.job_logs.contract import MAX_CHUNK
from cicd_core.job_logs.file_store import folder_name
from cicd_core.job_logs.limits import HEAD_BYTES, LEAST_LIMIT
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

LOG = LogId("j-1", 1)
LIMIT = LEAST_LIMIT
#: Ids that a path would take for something else, and one that is too long for a file's name.
NO_IDS = [".", "..", "~"]
ODD_IDS = [
    *NO_IDS,
    "...",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    ":",
    "-",
    "~",
    ".hidden",
    "/" * 128,
]


def lines(first: int, count: int) -> bytes:
    """Return numbered lines of 64 bytes."""
    return b"".join(b"%063d\n" % number for number in range(first, first + count))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def fill(store: FileLogStore, size: int, log: LogId = LOG, chunk: int = MAX_CHUNK) -> None:
    for offset in range(0, size, chunk):
        await store.append(log, offset, lines(offset // 64, min(chunk, size - offset) // 64))


async def read_all(store: FileLogStore, log: LogId = LOG) -> tuple[bytes, int]:
    """Return what is kept of a log, and how many bytes are left out."""
    said, missing, offset = b"", 0, 0
    while (piece := await store.read(log, offset, MAX_CHUNK)).data:
        assert piece.offset == offset + piece.missing
        said += piece.data
        missing += piece.missing
        offset = piece.next_offset
    return said, missing


async def state_of(store: FileLogStore, log: LogId = LOG) -> LogState:
    (found,) = (each for each in await store.states(log.job_id) if each.attempt == log.attempt)
    return found


@pytest.fixture
def store(tmp_path: Path) -> FileLogStore:
    return FileLogStore(tmp_path / "logs", LogLimits(job_bytes=LIMIT))


async def test_a_log_holds_what_was_appended_and_a_repeated_chunk_changes_nothing(
    store: FileLogStore,
) -> None:
    assert (await store.append(LOG, 0, b"one ")).end == 4
    assert (await store.append(LOG, 4, b"two ")).end == 8
    assert (await store.append(LOG, 4, b"two ")).end == 8
    assert (await store.append(LOG, 0, b"one two ")).end == 8
    overlapping = await store.append(LOG, 4, b"two three")
    assert (overlapping.end, overlapping.kept) == (13, 13)
    assert await read_all(store) == (b"one two three", 0)


async def test_a_gap_is_refused_with_the_end_and_nothing_is_written(store: FileLogStore) -> None:
    await store.append(LOG, 0, b"one ")
    with pytest.raises(LogOffsetMismatch, match="send the bytes from there on") as refused:
        await store.append(LOG, 5, b"two ")
    assert (refused.value.offset, refused.value.end, refused.value.complete) == (5, 4, False)
    assert await read_all(store) == (b"one ", 0)


async def test_a_complete_log_takes_repetitions_and_nothing_more(store: FileLogStore) -> None:
    await store.append(LOG, 0, b"one ")
    assert (await store.append(LOG, 4, b"two", complete=True)).complete
    again = await store.append(LOG, 4, b"two", complete=True)
    assert (again.end, again.complete) == (7, True)
    with pytest.raises(LogOffsetMismatch, match="send nothing more") as refused:
        await store.append(LOG, 7, b"three")
    assert refused.value.complete
    assert await read_all(store) == (b"one two", 0)


@pytest.mark.parametrize(("offset", "data"), [(3, b""), (0, b"o"), (2, b"e")])
async def test_a_log_can_t_end_before_its_end(
    store: FileLogStore, offset: int, data: bytes
) -> None:
    await store.append(LOG, 0, b"one ")
    with pytest.raises(LogOffsetMismatch, match="has 4 bytes already, so it can't end") as refused:
        await store.append(LOG, offset, data, complete=True)
    assert (refused.value.end, refused.value.complete) == (4, False)
    assert not (await state_of(store)).complete
    assert (await store.append(LOG, 4, b"", complete=True)).complete
    with pytest.raises(LogOffsetMismatch, match="send nothing more"):
        await store.append(LOG, offset, data, complete=True)


async def test_an_append_that_keeps_nothing_leaves_no_folder(
    store: FileLogStore, tmp_path: Path
) -> None:
    with pytest.raises(LogOffsetMismatch):
        await store.append(LOG, 5, b"text")
    with pytest.raises(LogOffsetMismatch):
        await store.append(LOG, 5, b"", complete=True)
    assert (await store.append(LOG, 0, b"")).end == 0
    assert names_in(tmp_path / "logs") == []
    await store.append(LogId("j-1", 2), 0, b"text")
    with pytest.raises(LogOffsetMismatch):
        await store.append(LOG, 5, b"text")
    assert [each.attempt for each in await store.states("j-1")] == [2]


async def test_the_folder_of_a_writer_that_was_killed_before_its_first_byte_goes(
    store: FileLogStore, tmp_path: Path
) -> None:
    await store.append(LOG, 0, b"text")
    (tmp_path / "logs" / "j-2").mkdir()
    (tmp_path / "logs" / "j-3").mkdir()
    (tmp_path / "logs" / "j-3" / "of another program").touch()
    now = (await state_of(store)).written_at.timestamp()
    assert await store.clean(now) == 0
    assert names_in(tmp_path / "logs") == ["j-1", "j-3"]


async def test_attempts_are_apart(store: FileLogStore) -> None:
    await store.append(LogId("j-1", 1), 0, b"first", complete=True)
    await store.append(LogId("j-1", 12), 0, b"twelfth!")
    await store.append(LogId("j-2", 1), 0, b"other job")
    states = await store.states("j-1")
    assert [(each.attempt, each.end, each.complete) for each in states] == [
        (1, 5, True),
        (12, 8, False),
    ]
    assert await read_all(store, LogId("j-1", 12)) == (b"twelfth!", 0)
    assert await store.states("j-3") == ()
    assert await read_all(store, LogId("j-3", 1)) == (b"", 0)


@pytest.mark.parametrize("size", [64, HEAD_BYTES, LIMIT - 64, LIMIT])
async def test_a_log_within_its_limit_is_kept_whole(store: FileLogStore, size: int) -> None:
    await fill(store, size)
    assert await read_all(store) == (lines(0, size // 64), 0)


async def test_a_long_log_keeps_its_beginning_and_its_end_within_the_limit(
    store: FileLogStore, tmp_path: Path
) -> None:
    size = 3 * LIMIT
    for offset in range(0, size, MAX_CHUNK // 4):
        await store.append(LOG, offset, lines(offset // 64, MAX_CHUNK // 4 // 64))
        on_disk = sum(file.stat().st_size for file in (tmp_path / "logs" / "j-1").iterdir())
        assert on_disk <= LIMIT
    said, missing = await read_all(store)
    state = await state_of(store)
    assert (state.end, state.kept, missing) == (size, len(said), size - len(said))
    assert said[:HEAD_BYTES] == lines(0, HEAD_BYTES // 64)
    assert said[HEAD_BYTES:] == lines(0, size // 64)[HEAD_BYTES + missing :]
    assert len(said) >= LIMIT * 7 // 8


async def test_what_is_left_out_keeps_its_places(store: FileLogStore) -> None:
    await fill(store, 2 * LIMIT)
    piece = await store.read(LOG, HEAD_BYTES + 64, 640)
    assert piece.missing == piece.offset - HEAD_BYTES - 64
    assert piece.data == lines(piece.offset // 64, 10)


async def test_another_store_over_the_same_folder_goes_on(tmp_path: Path) -> None:
    limits = LogLimits(job_bytes=LIMIT)
    for number in range(8):
        another = FileLogStore(tmp_path, limits)
        await another.append(LOG, number * MAX_CHUNK, lines(number * MAX_CHUNK // 64, 16384))
    store = FileLogStore(tmp_path, limits)
    assert (await state_of(store)).end == 8 * MAX_CHUNK
    said, _ = await read_all(store)
    assert said.endswith(lines(7 * MAX_CHUNK // 64, 16384))


async def test_stores_that_write_at_once_double_nothing(tmp_path: Path) -> None:
    """Each appends the whole log, so each chunk is repeated by all others."""
    size, chunk = 2 * MAX_CHUNK, 64 * 1024

    async def write(number: int) -> None:
        store = FileLogStore(tmp_path, LogLimits(job_bytes=LIMIT))
        for offset in range(0, size, chunk):
            step = chunk + 64 * number  # so that chunks overlap
            await store.append(LOG, offset, lines(offset // 64, step // 64))

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(write, number)
    store = FileLogStore(tmp_path)
    state = await state_of(store)
    assert await read_all(store) == (lines(0, state.end // 64), 0)
    assert size <= state.end <= size + 3 * 64


async def test_folders_and_files_are_this_users_alone(store: FileLogStore, tmp_path: Path) -> None:
    await store.append(LOG, 0, b"secret", complete=True)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "logs").rglob("*.*")}
    assert modes == {0o600}
    folders = [tmp_path / "logs", tmp_path / "logs" / "j-1"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


@pytest.mark.parametrize("job_id", ODD_IDS)
async def test_an_odd_id_stays_within_the_folder(
    store: FileLogStore, tmp_path: Path, job_id: str
) -> None:
    if job_id in NO_IDS:
        with pytest.raises(InvalidInput, match="job_id"):
            await store.append(LogId(job_id, 1), 0, b"text")
        return
    await store.append(LogId(job_id, 1), 0, b"text")
    assert await read_all(store, LogId(job_id, 1)) == (b"text", 0)
    assert names_in(tmp_path) == ["logs"]
    assert len(names_in(tmp_path / "logs")) == 1


def test_odd_ids_have_folders_of_their_own() -> None:
    ids = [each for each in ODD_IDS if each not in NO_IDS] + ["/" * 127]
    assert len({folder_name(job_id) for job_id in ids}) == len(ids)


@pytest.mark.parametrize(("offset", "attempt"), [(-1, 1), (0, 0), (0, 10**9), (2**63, 1)])
async def test_what_is_no_place_is_refused(store: FileLogStore, offset: int, attempt: int) -> None:
    with pytest.raises(InvalidInput):
        await store.append(LogId("j-1", attempt), offset, b"text")


async def test_more_than_a_chunk_is_refused(store: FileLogStore) -> None:
    with pytest.raises(TooLarge, match="data"):
        await store.append(LOG, 0, bytes(MAX_CHUNK + 1))


async def test_old_logs_go_and_the_oldest_go_while_all_are_too_large(tmp_path: Path) -> None:

    limits = LogLimits(keep_seconds=100, total_bytes=25)
    store = FileLogStore(tmp_path, limits)
    written = {"j-old": 800, "j-1": 910, "j-2": 920, "j-3": 930}
    for job_id, at in written.items():
        await store.append(LogId(job_id, 1), 0, b"ten bytes.", complete=True)
        for path in (tmp_path / job_id).iterdir():
            os.utime(path, (at, at))
    assert await store.clean(950.0) == 2
    assert names_in(tmp_path) == ["j-2", "j-3"]
    assert await store.clean(950.0) == 0


async def test_a_log_that_can_t_be_removed_does_not_keep_the_others(tmp_path: Path) -> None:
    store = FileLogStore(tmp_path, LogLimits(keep_seconds=100))
    for job_id in ("j-1", "j-2"):
        await store.append(LogId(job_id, 1), 0, b"ten bytes.")
        for path in (tmp_path / job_id).iterdir():
            os.utime(path, (800, 800))
    oldest = tmp_path / "j-0" / f"1-{0:019d}.log"
    oldest.mkdir(parents=True)  # no file, so it can't be removed
    os.utime(oldest, (700, 700))
    with pytest.raises(StoreError, match="the folder of the logs"):
        await store.clean(950.0)
    assert names_in(tmp_path) == ["j-0"]


async def test_the_log_of_a_writer_that_goes_on_after_its_removal_begins_again(
    tmp_path: Path,
) -> None:
    store = FileLogStore(tmp_path, LogLimits(keep_seconds=0))
    written = await store.append(LOG, 0, b"gone")
    assert await store.clean(written.written_at.timestamp() + 10) == 1
    with pytest.raises(LogOffsetMismatch) as refused:
        await store.append(LOG, 4, b"more")
    assert refused.value.end == 0


WRITER = """
import anyio, sys
from cicd_core.job_logs import FileLogStore, LogId, LogLimits

async def write():
    store = FileLogStore(sys.argv[1], LogLimits())
    offset = 0
    while True:
        data = b"".join(b"%063d\\n" % (offset // 64 + n) for n in range(512))
        offset = (await store.append(LogId("j-1", 1), offset, data)).end
        print(offset, flush=True)

anyio.run(write)
"""


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:  # noqa: ASYNC220 - its end is waited for
        assert writer.stdout is not None
        answered = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        answered += map(int, writer.stdout.read().split())
        writer.wait(PATIENCE)
    store = FileLogStore(tmp_path)
    state = await state_of(store)
    assert state.end >= answered[-1] > 0
    assert await read_all(store) == (lines(0, state.end // 64 + 1)[: state.end], 0)


async def test_a_log_store_is_opened_by_its_folder_or_its_url(tmp_path: Path) -> None:
    for place in (str(tmp_path / "a b"), f"file://{tmp_path}/a%20b"):
        async with open_log_store(place) as store:
            await store.append(LOG, 0, b"text")
    assert (tmp_path / "a b" / "j-1").is_dir()
    with pytest.raises(UnknownScheme, match="file://"):
        open_log_store("acme://bucket")
    with pytest.raises(InvalidInput, match="file:///var"):
        open_log_store("file://host/var")


@pytest.mark.parametrize("name", ["x" * 256, "loop/logs", "file", "file/logs"])
def test_a_folder_that_cannot_be_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="choose another path") as refused:
        FileLogStore(tmp_path / name)
    assert refused.value.field == "folder"
