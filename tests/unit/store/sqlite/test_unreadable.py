"""A row with a text that is no UTF-8 is named by what asks for it, and stops nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Final

import pytest

from cicd_core.errors import CorruptRecord
from cicd_core.store.records import Committed, Delete, Increment, Query
from cicd_core.testing import VirtualClock
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    find,
    in_lane,
    in_state,
    item,
    keys_in,
    plain,
    read,
    write,
)
from tests.unit.store.sqlite.files import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio

#: Every text of a row but its key, and where a claim or an index would look for it.
TEXTS: Final = ("commit_id", "lease_claim", "a_rank", "a_state", "a_made-at")


@asynccontextmanager
async def damaged(path: Path, column: str, *keys: str) -> AsyncGenerator[SQLiteBackend, None]:
    """A store with items, of which some have a text that is no UTF-8."""
    async with opened(path) as store:
        await write(store, *(item(key, rank=key) for key in ("a", "b", "c", "d")))
        damage(path, column, *keys)
        yield store


def damage(path: Path, column: str, *keys: str) -> None:
    """Make a text of some items no UTF-8."""
    with closing(sqlite3.connect(path)) as connection, connection:
        update = f'UPDATE c_items SET "{column}" = CAST(? AS TEXT) WHERE key = ?'  # noqa: S608
        # - a name of this module's
        connection.executemany(update, [(b"\xff:x", key) for key in keys])


@pytest.mark.parametrize("column", TEXTS)
async def test_a_get_names_the_record_whatever_text_is_damaged(path: Path, column: str) -> None:
    async with damaged(path, column, "b") as store:
        with pytest.raises(CorruptRecord) as caught:
            await store.get("items", ["a", "b"])
        assert (caught.value.collection, caught.value.key) == ("items", "b")
        assert (await read(store, "a")).key == "a"


@pytest.mark.parametrize("column", TEXTS)
async def test_claims_pages_and_counts_go_past_it(path: Path, column: str) -> None:
    async with damaged(path, column, "a", "b") as store:
        assert (await store.count([in_lane()]))[0].number == 4
        page = await store.page(Query(partition=in_lane(), limit=1))
        assert ([each.key for each in page.records], page.more) == (["c"], True)
        assert [each.key for each in await store.claim(claim(1))] == ["c"]
        assert [each.key for each in await store.claim(claim(9))] == ["d"]
        assert await store.claim(claim(1)) == []


async def test_a_page_of_nothing_but_damage_is_the_last_one(path: Path) -> None:
    async with damaged(path, "commit_id", "a", "b", "c", "d") as store:
        for descending in (False, True):
            query = Query(partition=in_state("new"), limit=2, descending=descending)
            page = await store.page(query)
            assert (page.records, page.more) == ((), False)


async def test_a_commit_of_it_is_refused_and_those_beside_it_are_applied(path: Path) -> None:
    async with damaged(path, "commit_id", "b") as store:
        version = (await read(store, "a")).version
        with pytest.raises(CorruptRecord):
            await apply(store, commit(item("b", expected=version), increments=[Increment("n")]))
        gone = Delete(collection="items", key="b", expected=version)
        with pytest.raises(CorruptRecord):
            await apply(store, commit(gone, plain("p")))
        assert (await store.counters("")).values == {}
        assert await find(store, "p", "plain") is None
        assert isinstance(await apply(store, commit(item("a", expected=version))), Committed)


async def test_a_claim_that_holds_it_alone_takes_no_other_when_it_is_repeated(path: Path) -> None:
    async with damaged(path, "commit_id") as store:
        one = claim(1)
        assert [each.key for each in await store.claim(one)] == ["a"]
        with closing(sqlite3.connect(path)) as connection, connection:
            update = "UPDATE c_items SET commit_id = CAST(? AS TEXT) WHERE key = 'a'"
            connection.execute(update, (b"\xff",))
        assert await store.claim(one) == []
        assert await keys_in(store, in_lane()) == ["b", "c", "d"]


async def test_an_expired_one_is_absent_and_lets_others_expire(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        end = clock.micros() + SECOND
        await write(store, item("a", expires_at=end), item("b", expires_at=end), item("c"))
        with closing(sqlite3.connect(path)) as connection, connection:
            update = "UPDATE c_items SET commit_id = CAST(? AS TEXT) WHERE key = 'a'"
            connection.execute(update, (b"\xff",))
        clock.advance(2)
        assert set(await store.get("items", ["a", "b", "c"])) == {"c"}
        await write(store, item("d"))
        assert await keys_in(store, in_lane()) == ["c", "d"]
        assert [each.key for each in await store.claim(claim(9))] == ["c", "d"]


@pytest.mark.parametrize("column", [*TEXTS, "a_lane"])
async def test_the_key_of_an_expired_one_is_free(path: Path, column: str) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        end = clock.micros() + SECOND
        version = (await write(store, item("a", expires_at=end)))["a"]
        damage(path, column, "a")
        clock.advance(2)
        attributes = {"lane": "other", "rank": "1:a"}
        again = (await write(store, item("a", attributes=attributes, body=b"again")))["a"]
        assert again > version
        record = await read(store, "a")
        assert (record.body, record.attributes, record.lease) == (b"again", attributes, None)
        assert await keys_in(store, in_lane("other")) == ["a"]
        assert [each.number for each in await store.count([in_lane("other")])] == [1]


@pytest.mark.parametrize("column", [*TEXTS, "a_lane", "key"])
async def test_an_expired_one_leaves_the_file(path: Path, column: str) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        end = clock.micros() + SECOND
        await write(store, item("a", expires_at=end), item("b", expires_at=end), item("c"))
        damage(path, column, "a")
        clock.advance(20)
        await write(store, item("d"))
        await write(store, item("e"))  # by then, what the first one started has been done
        with closing(sqlite3.connect(path)) as connection:
            kept = connection.execute("SELECT key FROM c_items ORDER BY key").fetchall()
        assert kept == [("c",), ("d",), ("e",)]


async def test_the_other_texts_are_read_as_before(path: Path) -> None:
    async with damaged(path, "commit_id", "b") as store:
        await keys_in(store, in_lane())
        odd = "\N{SNOWMAN}\0\U0010ffff"
        await write(store, item(odd))
        assert (await read(store, odd)).key == odd
