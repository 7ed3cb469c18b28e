"""What is asked together is one transaction, and yet each request has its own fate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from cicd_core.errors import StoreError
from cicd_core.store.records import Conflict, Query, Renewal
from cicd_core.store.sqlite.retention import Retention
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    find,
    in_lane,
    item,
    numbers_in,
    whole_log,
    write,
)
from tests.unit.store.sqlite.files import execute

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _no_chores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no chore begin a transaction of its own, however long a test takes."""
    monkeypatch.setattr(Retention, "is_due", lambda _self, _now: False)


async def statements(store: SQLiteBackend, action: Callable[[], Awaitable[object]]) -> list[str]:
    """Return what the writing connection executed during an action."""
    seen: list[str] = []
    await store.writes.call(lambda connection: connection.set_trace_callback(seen.append))
    await action()
    await store.writes.call(lambda connection: connection.set_trace_callback(None))
    return seen


async def at_once(*actions: Callable[[], Coroutine[Any, Any, object]]) -> None:
    async with anyio.create_task_group() as group:
        for action in actions:
            group.start_soon(action)


async def test_what_is_asked_in_one_turn_is_one_transaction(store: SQLiteBackend) -> None:
    writers = [lambda key=str(n): write(store, item(key)) for n in range(100)]
    seen = await statements(store, lambda: at_once(*writers))
    inserts = [each for each in seen if each.startswith('INSERT INTO "c_items"')]
    assert len(inserts) == 100
    assert seen.count("BEGIN IMMEDIATE") == seen.count("COMMIT") <= 2


async def test_commits_claims_and_renewals_share_a_transaction(store: SQLiteBackend) -> None:
    await write(store, item("a"))
    first = claim()
    await store.claim(first)
    renewal = Renewal(collection="items", key="a", claim_id=first.claim_id, duration=60 * SECOND)
    seen = await statements(
        store,
        lambda: at_once(
            lambda: write(store, item("b")),
            lambda: store.claim(claim()),
            lambda: store.renew([renewal]),
        ),
    )
    assert seen.count("BEGIN IMMEDIATE") <= 2
    assert await numbers_in(store, in_lane()) == [0]


async def test_what_is_asked_while_a_batch_is_under_way_goes_into_the_next_one(
    store: SQLiteBackend,
) -> None:

    async def one_after_another() -> None:
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(write, store, item(str(number)))
                await checkpoint()  # a turn each: the first batch is under way after a few

    seen = await statements(store, one_after_another)
    assert seen.count("BEGIN IMMEDIATE") < 25
    assert await numbers_in(store, in_lane()) == [50]


async def test_claims_of_one_kind_are_found_by_one_query(store: SQLiteBackend) -> None:
    await write(store, *(item(f"{number:02}") for number in range(20)))
    claims = [claim() for _ in range(20)]
    seen = await statements(
        store, lambda: at_once(*(lambda one=one: store.claim(one) for one in claims))
    )
    assert sum("a_lane" in each and each.startswith("SELECT") for each in seen) <= 4
    held = [await store.claim(one) for one in claims]
    assert sorted(record.key for (record,) in held) == [f"{number:02}" for number in range(20)]


async def test_a_repetition_in_the_same_batch_gets_what_the_first_one_takes(
    store: SQLiteBackend,
) -> None:
    await write(store, item("a"), item("b"))
    one = claim()
    answers: list[list[str]] = []

    async def take() -> None:
        answers.append([record.key for record in await store.claim(one)])

    await at_once(take, take, take)
    assert answers == [["a"]] * 3
    assert await numbers_in(store, in_lane()) == [1]


async def test_a_conflict_in_a_batch_is_nobody_elses(store: SQLiteBackend) -> None:
    await write(store, item("a"))
    answers: dict[str, object] = {}

    async def put(key: str) -> None:
        answers[key] = await apply(store, commit(item(key), events=[event_of(key)]))

    await at_once(*(lambda key=key: put(key) for key in "abc"))
    assert answers.pop("a") == Conflict((("items", "a"),))
    assert not any(isinstance(answer, Conflict) for answer in answers.values())
    assert {entry.key for entry in await whole_log(store)} == {"b", "c"}


async def test_what_sqlite_chokes_on_fails_alone(store: SQLiteBackend) -> None:
    await execute(
        store,
        """CREATE TRIGGER refuse BEFORE INSERT ON "c_items" WHEN new.key = 'bad'
        BEGIN SELECT raise(ABORT, 'not this one'); END""",
    )
    failed: list[str] = []

    async def put(key: str) -> None:
        try:
            await write(store, item(key), events=[event_of(key)])
        except StoreError as error:
            failed.append(f"{key}: {error}")

    await at_once(*(lambda key=key: put(key) for key in ("a", "bad", "b")))
    assert len(failed) == 1
    assert "bad" in failed[0]
    assert "not this one" in failed[0]
    assert await find(store, "bad") is None
    assert await numbers_in(store, in_lane()) == [2]
    assert [entry.key for entry in await whole_log(store)] == ["a", "b"]


async def test_a_list_of_commits_larger_than_a_batch_is_one_transaction_all_the_same(
    store: SQLiteBackend,
) -> None:
    commits = [commit(item(str(number))) for number in range(1500)]
    seen = await statements(store, lambda: store.commit(commits))
    assert seen.count("BEGIN IMMEDIATE") <= 2
    assert await numbers_in(store, in_lane()) == [1500]


async def test_reads_of_one_turn_share_a_snapshot(store: SQLiteBackend) -> None:
    await write(store, item("a"))
    seen: list[str] = []
    await store.reads.call(lambda connection: connection.set_trace_callback(seen.append))
    await at_once(*(lambda: find(store, "a") for _ in range(20)))
    assert seen.count("BEGIN") == 1


async def test_bounded_pages_of_one_turn_that_are_empty_take_one_statement(
    store: SQLiteBackend,
) -> None:
    await write(store, item("a"))
    seen: list[str] = []
    await store.reads.call(lambda connection: connection.set_trace_callback(seen.append))
    found: dict[str, list[str]] = {}

    async def ask(after: str, before: str) -> None:
        query = Query(partition=in_lane(), limit=9, after=after, before=before)
        found[after] = [record.key for record in (await store.page(query)).records]

    await at_once(lambda: ask("x", "y"), lambda: ask("y", "z"))
    assert (found, len(seen)) == ({"x": [], "y": []}, 1)
    seen.clear()
    await at_once(lambda: ask("x", "y"), lambda: ask("", "z"), lambda: ask("y", "z"))
    # The question which are empty, and a transaction for the one that is not.
    assert (found, len(seen)) == ({"x": [], "y": [], "": ["a"]}, 4)
