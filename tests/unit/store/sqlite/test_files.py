"""The files of a database: whose they are, and what becomes of a store whose files change."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.entities import COLLECTIONS
from cicd_core.errors import InvalidInput, StoreReplaced
from cicd_core.store.registry import open_store
from cicd_core.store.sqlite.files import beside
from cicd_core.testing.samples import find, in_lane, item, read, watch, write
from tests.unit.store.sqlite.files import names, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="it keeps files that are open"),
]


def restore(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


def remove_all(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def move_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


CHANGES: dict[str, Callable[[Path], object]] = {
    "the database is replaced by a copy": restore,
    "the database is removed": lambda path: path.unlink(),
    "the database is moved": lambda path: path.rename(path.with_name("moved")),
    "all files are removed": remove_all,
    "the write-ahead log is removed": lambda path: beside(path, "wal").unlink(),
    "the index of the log is removed": lambda path: beside(path, "shm").unlink(),
    "the folder is moved": move_the_folder,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "store.db"


@pytest.mark.parametrize("change", CHANGES)
async def test_write_and_read_after_a_change_of_the_files_are_refused(
    path: Path, change: str
) -> None:
    async with opened(path) as store:
        await write(store, item("before"))
        CHANGES[change](path)
        for _ in range(2):
            with pytest.raises(StoreReplaced, match="stop all processes") as refused:
                await write(store, item("after"))
            assert refused.value.store == str(path)
            with pytest.raises(StoreReplaced):
                await read(store, "before")


async def test_waiter_learns_of_a_file_that_was_replaced(store: SQLiteBackend, path: Path) -> None:
    async def wait() -> None:
        while True:  # a wake-up may be spurious; the next question is refused
            await store.wait([watch(in_lane())], 3600)

    async def wait_and_restore() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            restore(path)

    with pytest.raises(ExceptionGroup) as ended:
        await wait_and_restore()
    assert ended.group_contains(StoreReplaced)


async def test_database_that_was_restored_is_untouched_by_the_store_that_lost_it(
    path: Path,
) -> None:
    async with opened(path) as store:
        await write(store, item("before"))
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    async with opened(path) as lost:
        await write(lost, item("lost"))
        for suffix in ("wal", "shm"):
            beside(path, suffix).unlink()
        backup.replace(path)
        async with opened(path) as restored:
            await write(restored, item("new"))
            with pytest.raises(StoreReplaced):
                await write(lost, item("nowhere"))
            await lost.close()
            await write(restored, item("newer"))
    async with opened(path) as store:
        keys = ["before", "lost", "new", "newer", "nowhere"]
        assert sorted(await store.get("items", keys)) == ["before", "new", "newer"]


async def test_link_that_leads_elsewhere_since_is_a_change_of_the_files(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    async with opened(link) as store:
        await write(store, item("before"))
        async with opened(path.with_name("other.db")):
            pass
        link.unlink()
        link.symlink_to(path.with_name("other.db"))
        with pytest.raises(StoreReplaced):
            await write(store, item("after"))


async def test_lock_file_that_was_replaced_is_no_lock(path: Path) -> None:
    async with opened(path) as store, opened(path) as other:
        await write(store, item("a"))
        beside(path, "lock").rename(path.with_name("moved"))
        await write(other, item("b"))
        await write(store, item("c"))
        assert beside(path, "lock").exists()


async def test_files_of_a_new_database_are_for_their_owner_alone(path: Path) -> None:
    mask = os.umask(0o022)
    try:
        async with opened(path) as store:
            await write(store, item("a"))
            files = list(path.parent.iterdir())
            assert names(path.parent) == [
                path.name,
                *(beside(path, suffix).name for suffix in ("lock", "shm", "wal")),
            ]
            assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    finally:
        os.umask(mask)


async def test_files_beside_a_shared_database_are_shared_as_it_is(path: Path) -> None:
    async with opened(path):
        pass
    await anyio.Path(path).chmod(0o660)
    async with opened(path) as store:
        await write(store, item("a"))
        modes = {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        assert modes == {0o660}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="it needs root")
async def test_root_leaves_the_files_to_the_owner_of_the_database(path: Path) -> None:
    async with opened(path):
        pass
    os.chown(path, 54321, 54322)
    async with opened(path) as store:
        await write(store, item("a"))
        owners = {(each.stat().st_uid, each.stat().st_gid) for each in path.parent.iterdir()}
        assert owners == {(54321, 54322)}


@pytest.mark.parametrize("by", ["url", "option"])
async def test_file_that_must_be_there_and_is_not_is_not_made(path: Path, by: str) -> None:
    url = f"sqlite:///{path}"
    opening = (
        open_store(f"{url}?create=false", collections=COLLECTIONS)
        if by == "url"
        else open_store(url, create=False, collections=COLLECTIONS)
    )
    with pytest.raises(InvalidInput, match="there is no file"):
        async with opening:
            pass
    assert names(path.parent) == []


async def test_file_that_must_be_there_and_is_opens(path: Path) -> None:
    async with opened(path) as store:
        await write(store, item("a"))
    async with opened(path, create=False) as store:
        assert await find(store, "a")
