"""What a file is before it is opened, and what is left of it afterwards."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from cicd_core.entities import COLLECTIONS
from cicd_core.errors import (
    InvalidInput,
    SchemaTooNew,
    SchemaTooOld,
    StoreClosed,
    UnrecognizedDatabase,
    UnsupportedCapability,
)
from cicd_core.store.registry import open_store
from cicd_core.store.sqlite.schema import APPLICATION_ID, MIGRATIONS, OLDEST
from cicd_core.testing.samples import find, in_lane, item, watch, write
from tests.unit.store.sqlite.files import (
    connect,
    content,
    execute,
    fill,
    names,
    opened,
    query,
    run_script,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio


async def test_a_new_file_says_that_it_is_ours_and_which_version_it_has(path: Path) -> None:
    async with opened(path):
        pass
    assert query(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert query(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


async def test_what_was_written_is_there_when_the_file_is_opened_again(path: Path) -> None:
    async with opened(path) as store:
        await write(store, item("a"))
    async with opened(path) as store:
        assert await find(store, "a")


async def test_nothing_but_the_database_is_left_after_the_last_one_closed(path: Path) -> None:
    async with opened(path) as store, opened(path) as other:
        await write(store, item("a"))
        await write(other, item("b"))
    assert names(path.parent) == [path.name]


async def test_a_store_that_closes_leaves_the_files_of_the_others_alone(path: Path) -> None:
    async with opened(path) as store:
        async with opened(path) as other:
            await write(other, item("a"))
        await write(store, item("b"))
        assert await find(store, "a")


async def test_a_file_without_a_byte_becomes_a_store(path: Path) -> None:
    fill(path, b"")
    async with opened(path) as store:
        await write(store, item("a"))


async def test_a_database_without_a_table_becomes_a_store(path: Path) -> None:
    with connect(path) as connection:
        connection.execute("VACUUM")
    async with opened(path) as store:
        await write(store, item("a"))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE recipes (name TEXT)",
        "PRAGMA application_id = 42",
        "PRAGMA user_version = 7",
    ],
)
async def test_another_programs_database_is_refused_and_left_as_it_is(
    path: Path, statement: str
) -> None:
    with connect(path) as connection:
        connection.execute(statement)
    before = content(path)
    with pytest.raises(UnrecognizedDatabase, match="another program's"):
        async with opened(path):
            pass
    assert content(path) == before
    assert names(path.parent) == [path.name]


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path) -> None:
    text = b"to do: feed the cat\n" * 100
    fill(path, text)
    with pytest.raises(UnrecognizedDatabase, match="not a SQLite database"):
        async with opened(path):
            pass
    assert content(path) == text
    assert names(path.parent) == [path.name]


async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(path: Path) -> None:
    async with opened(path):
        pass
    with connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = content(path)
    with pytest.raises(SchemaTooNew) as refused:
        async with opened(path):
            pass
    assert (refused.value.found, refused.value.supported) == (99, len(MIGRATIONS))
    assert content(path) == before
    assert names(path.parent) == [path.name]


async def test_a_file_in_a_layout_that_is_not_read_any_more_is_refused_and_left_as_it_is(
    path: Path,
) -> None:
    async with opened(path):
        pass
    with connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    before = content(path)
    with pytest.raises(SchemaTooOld, match=f"version 1, this library reads {OLDEST}") as refused:
        async with opened(path):
            pass
    assert (refused.value.found, refused.value.oldest) == (1, OLDEST)
    assert content(path) == before
    assert names(path.parent) == [path.name]


async def test_many_processes_may_make_the_file_at_once(path: Path) -> None:
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(run_script, "put_many.py", path, number, 1)
    async with opened(path) as store:
        assert len(await store.get("items", ["0.0", "1.0", "2.0", "3.0"])) == 4
        assert query(path, "SELECT name FROM namespaces") == [("",)]


async def test_stores_that_are_opened_at_once_share_the_file(path: Path) -> None:
    async def open_and_write(name: str) -> None:
        async with opened(path) as store:
            await write(store, item(name))

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(open_and_write, str(number))
    assert query(path, "SELECT count(*) FROM c_items") == [(5,)]


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("sqlite://", "url"),
        ("sqlite:///", "url"),
        ("sqlite://host/ci.db", "url"),
        ("sqlite:///:memory:", "url"),
        ("sqlite:///no/such/folder/ci.db", "url"),
        ("sqlite:///.", "url"),
        ("sqlite:///ci.db?cache=shared", "url"),
        ("sqlite:///ci.db?synchronous=off", "synchronous"),
        ("sqlite:///ci.db?busy_timeout=soon", "busy_timeout"),
        ("sqlite:///ci.db?busy_timeout=-1", "busy_timeout"),
        ("sqlite:///ci.db?log_retention=nan", "log_retention"),
    ],
)
async def test_a_url_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(
    url: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as refused:
        async with open_store(url, collections=COLLECTIONS):
            pass
    assert refused.value.field == field
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 248, "x" * 256, "loop", "loop/ci.db", "pipe", "file/ci.db"])
async def test_a_path_that_no_database_can_have_is_refused_by_the_name_of_the_url(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    with pytest.raises(InvalidInput) as refused:
        async with opened(tmp_path / name):
            pass
    assert refused.value.field == "url"
    assert names(tmp_path) == before


async def test_the_longest_names_that_leave_room_for_the_files_beside_them_are_opened(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / ("x" * 247)) as store:
        await write(store, item("a"))
    deep = tmp_path
    while len(str(deep)) < 440:
        deep /= "d" * 40
    deep.mkdir(parents=True)
    name = "y" * (512 - len("/-journal") - len(str(deep)))
    async with opened(deep / name) as store:
        await write(store, item("a"))
    with pytest.raises(InvalidInput, match="SQLite allows 512 bytes"):
        async with opened(deep / (name + "y")):
            pass


async def test_the_options_of_the_url_are_kept(path: Path) -> None:
    url = f"sqlite:///{path}?synchronous=normal&busy_timeout=0.5&log_retention=60"
    async with open_store(url, collections=COLLECTIONS) as store:
        location = store.location
        assert (location.synchronous, location.busy_timeout) == ("normal", 0.5)
        assert location.log_retention == 60
        assert await execute(store.backend, "PRAGMA synchronous") == [(1,)]  # type: ignore[arg-type] # a SQLiteBackend, by its scheme


async def test_a_commit_is_synced_to_the_disk_unless_one_asks_otherwise(
    store: SQLiteBackend,
) -> None:
    assert await execute(store, "PRAGMA synchronous") == [(2,)]
    assert await execute(store, "PRAGMA journal_mode") == [("wal",)]


async def test_a_relative_path_begins_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_store("sqlite:///ci%20here.db", collections=COLLECTIONS):
        pass
    assert names(tmp_path) == ["ci here.db"]


async def test_a_symbolic_link_leads_to_the_same_store_and_the_same_lock(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    async with opened(link) as linked, opened(path) as store:
        assert linked.location.path == store.location.path
        await write(linked, item("a"))
        assert await find(store, "a")


async def test_a_closed_store_is_named_by_its_file(path: Path) -> None:
    async with opened(path) as store:
        await write(store, item("a"))
    with pytest.raises(StoreClosed, match=r"store\.db' is closed: open it again"):
        await find(store, "a")


async def test_a_store_may_be_closed_twice(path: Path) -> None:
    async with opened(path) as store:
        await store.close()
        await store.close()
    assert names(path.parent) == [path.name]


async def test_closing_ends_the_wait_of_whoever_waits(path: Path) -> None:
    ended: list[str] = []

    async def wait(store: SQLiteBackend) -> None:
        with pytest.raises(StoreClosed, match="closed"):
            await store.wait([watch(in_lane())], 3600)
        ended.append("waiter")

    async with anyio.create_task_group() as group, opened(path) as store:
        group.start_soon(wait, store)
        await anyio.wait_all_tasks_blocked()
    assert ended == ["waiter"]


async def test_what_was_asked_before_closing_is_done(path: Path) -> None:
    async with anyio.create_task_group() as group, opened(path) as store:
        for number in range(20):
            group.start_soon(write, store, item(str(number)))
        await checkpoint()
    assert query(path, "SELECT count(*) FROM c_items") == [(20,)]


async def test_a_store_belongs_to_the_event_loop_that_opened_it(store: SQLiteBackend) -> None:
    def ask_from_another_loop() -> None:
        anyio.run(find, store, "a", backend="asyncio")

    with pytest.raises(UnsupportedCapability, match="sibling"):
        await anyio.to_thread.run_sync(ask_from_another_loop)


async def test_another_threads_event_loop_takes_a_sibling(store: SQLiteBackend) -> None:
    async def write_there() -> None:
        async with store.sibling() as sibling:
            await write(sibling, item("a"))

    await anyio.to_thread.run_sync(lambda: anyio.run(write_there, backend="asyncio"))
    assert await find(store, "a")


def test_trio_is_refused_with_what_to_do_instead(path: Path) -> None:
    async def main() -> None:
        async with opened(path):
            pass

    with pytest.raises(UnsupportedCapability, match=r"asyncio.*memory://"):
        anyio.run(main, backend="trio")
    assert not path.exists()
