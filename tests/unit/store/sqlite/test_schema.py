"""How the layout of a file is brought up to date, and grows with the collections."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput, SchemaTooNew, UnsupportedCapability
from cicd_core.store.records import Collection, Index, Partition, Put
from cicd_core.store.sqlite.schema import (
    APPLICATION_ID,
    MIGRATIONS,
    MOST_NAMESPACES,
    extend,
    file_version,
    migrate,
    refuse_foreign,
)
from cicd_core.testing.samples import commit, read, write
from tests.unit.store.sqlite.files import connect, names, opened, query

if TYPE_CHECKING:
    from pathlib import Path

SHELF = Index("shelf", "place")
COLOUR = Index("colour", "place")
BOOKS = Collection(name="books", indexes=(SHELF,))
COLOURED_BOOKS = evolve(BOOKS, indexes=(SHELF, COLOUR))


def book(key: str, *, expected: int = 0, **attributes: str) -> Put:
    return Put(
        collection="books",
        key=key,
        expected=expected,
        body=b"",
        attributes={"shelf": "top", "place": f":{key}", **attributes},
    )


def test_an_older_file_is_brought_up_step_by_step(path: Path) -> None:
    steps = (*MIGRATIONS, ("CREATE TABLE shelves (name TEXT)",), ("ALTER TABLE shelves ADD n",))
    with connect(path) as connection:
        migrate(connection, path)
        connection.execute("INSERT INTO namespaces (name) VALUES ('mine')")
        migrate(connection, path, steps)
        assert connection.execute("SELECT name, n FROM shelves").fetchall() == []
        assert connection.execute("SELECT name FROM namespaces").fetchall() == [("mine",)]
        assert file_version(connection, path, len(steps)) == len(steps)


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    steps = (*MIGRATIONS, ("CREATE TABLE shelves (name TEXT)",), ("this is no statement",))
    with connect(path) as connection:
        migrate(connection, path)
        before = connection.execute("SELECT sql FROM sqlite_master").fetchall()
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, path, steps)
        assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == before
        assert file_version(connection, path, len(steps)) == len(MIGRATIONS)
        assert not connection.in_transaction


def test_a_version_that_only_the_write_ahead_log_tells_is_seen_too(path: Path) -> None:
    with connect(path) as connection:
        migrate(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA user_version = 99")
        refuse_foreign(path)  # it reads the database alone, without the log
        with pytest.raises(SchemaTooNew):
            migrate(connection, path)


def test_to_look_at_a_file_leaves_no_file_and_gives_back_no_lock(path: Path) -> None:
    with connect(path) as connection:
        migrate(connection, path)
        connection.execute("BEGIN EXCLUSIVE")
        refuse_foreign(path)
        # POSIX drops a process's locks on a file when it closes any descriptor of that file.
        code = (
            "import sqlite3, sys\n"
            "sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM clock')\n"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True
        )
        assert "database is locked" in other.stderr
    assert names(path.parent) == [path.name]


@pytest.mark.anyio
async def test_a_new_collection_gets_its_table_when_the_file_is_opened_with_it(path: Path) -> None:
    async with opened(path):
        pass
    async with opened(path, collections=(BOOKS,)) as store:
        await write(store, book("a"))
    tables = query(path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name > 'c_'")
    assert {"c_books", "c_items", "c_plain", "c_side-notes"} <= {name for (name,) in tables}


@pytest.mark.anyio
async def test_index_over_a_new_attribute_is_refused_where_there_are_records(path: Path) -> None:
    async with opened(path, collections=(BOOKS,)) as store:
        await write(store, book("a"))
    with pytest.raises(UnsupportedCapability, match="'books' without the attributes colour"):
        async with opened(path, collections=(COLOURED_BOOKS,)):
            pass
    async with opened(path, collections=(BOOKS,)) as store:
        assert (await read(store, "a", "books")).attributes == {"shelf": "top", "place": ":a"}


@pytest.mark.anyio
async def test_index_over_a_new_attribute_comes_into_a_file_without_records(path: Path) -> None:
    async with opened(path, collections=(BOOKS,)):
        pass
    async with opened(path, collections=(COLOURED_BOOKS,)) as store:
        red = Partition("books", COLOUR, "red")
        await write(store, book("a", colour="red"))
        assert [each.number for each in await store.count([red])] == [1]
    columns = [name for _, name, *_ in query(path, "PRAGMA table_info(c_books)")]
    assert columns[-2:] == ["claim_grant", "body"]


@pytest.mark.anyio
async def test_a_new_index_over_known_attributes_counts_the_records_of_before(path: Path) -> None:
    older = evolve(BOOKS, indexes=(SHELF, Index("colour", "bought-at")))
    newer = evolve(BOOKS, indexes=(*older.indexes, COLOUR))
    async with opened(path, collections=(older,)) as store:
        red_book = evolve(
            book("a"),
            attributes={"shelf": "top", "place": ":a", "colour": "red", "bought-at": "1:a"},
        )
        await write(store, red_book)
    async with opened(path, collections=(newer,)) as store:
        red = Partition("books", COLOUR, "red")
        assert [each.number for each in await store.count([red])] == [1]


@pytest.mark.anyio
async def test_a_store_that_was_open_before_keeps_an_index_that_came_later(path: Path) -> None:
    red = Partition("books", COLOUR, "red")
    async with (
        opened(path, collections=(BOOKS,)) as old,
        opened(path, collections=(COLOURED_BOOKS,)) as new,
    ):
        version = (await write(new, book("a", colour="red")))["a"]
        assert [each.number for each in await new.count([red])] == [1]
        # The older library knows no colours: what it puts has none.
        await write(old, book("a", expected=version))
        assert [each.number for each in await new.count([red])] == [0]
        assert (await read(new, "a", "books")).attributes == {"shelf": "top", "place": ":a"}


@pytest.mark.anyio
async def test_collections_that_are_not_named_stay_in_the_file(path: Path) -> None:
    async with opened(path, collections=(BOOKS,)) as store:
        await write(store, book("a"))
    async with opened(path):
        pass
    async with opened(path, collections=(BOOKS,)) as store:
        assert (await read(store, "a", "books")).key == "a"


@pytest.mark.anyio
async def test_namespaces_share_the_file_and_nothing_else(path: Path) -> None:
    async with (
        opened(path, collections=(BOOKS,), namespace="one") as one,
        opened(path, collections=(BOOKS,), namespace="two") as two,
    ):
        await one.commit([commit(book("a"))])
        await two.commit([commit(book("a"), book("b"))])
        top = Partition("books", SHELF, "top")
        assert [each.number for each in await one.count([top])] == [1]
        assert [each.number for each in await two.count([top])] == [2]
    assert query(path, "SELECT count(*) FROM c_books") == [(3,)]
    assert sorted(query(path, "SELECT name FROM namespaces")) == [("one",), ("two",)]


def test_the_file_is_marked_as_ours_before_anything_else_can_see_it(path: Path) -> None:
    with connect(path) as connection:
        migrate(connection, path)
        extend(connection, (BOOKS,))
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
    assert mark == APPLICATION_ID
    assert path.read_bytes()[68:72] == APPLICATION_ID.to_bytes(4, "big")


def test_the_queries_of_a_claim_and_a_page_walk_an_index(path: Path) -> None:
    with connect(path) as connection:
        migrate(connection, path)
        extend(connection, (BOOKS,))
        plan = connection.execute(
            'EXPLAIN QUERY PLAN SELECT id FROM c_books WHERE ns = 1 AND a_shelf = "x" '
            "AND a_place IS NOT NULL AND (expires_at IS NULL OR expires_at > 5) "
            "ORDER BY a_place LIMIT 1"
        ).fetchall()
    assert "i_books.shelf.place" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


@pytest.mark.anyio
async def test_namespace_beyond_those_that_have_a_number_is_refused(path: Path) -> None:
    async with opened(path, namespace="first"):
        pass
    with connect(path) as connection:
        connection.execute("UPDATE namespaces SET id = ?", (MOST_NAMESPACES,))
    with pytest.raises(InvalidInput, match="use another file") as refused:
        async with opened(path, namespace="one-too-many"):
            pass
    assert refused.value.field == "namespace"
    assert query(path, "SELECT name FROM namespaces") == [("first",)]
