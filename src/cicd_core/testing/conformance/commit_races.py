"""Concurrent commits on the same records: no update is lost, and none is partial."""

from __future__ import annotations

from functools import partial
from itertools import combinations, cycle
from typing import TYPE_CHECKING

from cicd_core.store.records import Committed, Conflict, Delete, Increment
from cicd_core.testing.conformance.crew import at_once
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    apply,
    commit,
    event_of,
    find,
    item,
    plain,
    read,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit
    from cicd_core.testing.harness import StoreHarness

#: Number of concurrent writers of a record, and of writes by each.
WRITERS = 8
TURNS = 3


class CommitRacePromises(Suite):
    """Commits of several stores, on the same records."""

    async def test_no_update_of_many_writers_of_one_record_is_lost(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        began = (await write(store, item("sum", body=b"0")))["sum"]

        async def context(mine: Store) -> None:
            for _ in range(TURNS):
                await add(mine, "sum", 1, events=True)

        await at_once(*(partial(context, mine) for mine in crew * (WRITERS // len(crew))))
        await harness.settle()
        record = await read(store, "sum")
        assert int(record.body) == WRITERS * TURNS
        assert record.version == began + WRITERS * TURNS
        versions = [entry.version for entry in await whole_log(store)]
        assert versions == list(range(began + 1, record.version + 1))
        assert (await store.counters("n")).values["n"] == WRITERS * TURNS

    async def test_moves_between_records_by_many_writers_keep_the_total(
        self, store: Store, crew: list[Store]
    ) -> None:
        names = ("x", "y", "z")
        await write(store, *(item(name, body=b"100") for name in names))

        async def mover(mine: Store, pair: tuple[str, str]) -> None:
            for _ in range(TURNS):
                await move(mine, *pair)

        pairs = [*combinations(names, 2), *combinations(reversed(names), 2)]
        await at_once(*(partial(mover, *pair) for pair in zip(cycle(crew), pairs, strict=False)))
        assert [int((await read(store, name)).body) for name in names] == [100, 100, 100]

    async def test_of_many_creations_of_one_record_exactly_one_succeeds(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        made: list[bytes] = []

        async def maker(mine: Store, number: int) -> None:
            body = b"%d" % number
            one = commit(
                item("a", body=body), plain(f"of {number}"), events=[event_of("a", number)]
            )
            if isinstance(await apply(mine, one), Committed):
                made.append(body)

        await at_once(*(partial(maker, mine, at) for at, mine in enumerate(crew * 4)))
        await harness.settle()
        assert [(await read(store, "a")).body] == made
        (entry,) = await whole_log(store)
        assert [b"%d" % entry.ordinal] == made
        beside = await store.get("plain", [f"of {number}" for number in range(16)])
        assert list(beside) == [f"of {entry.ordinal}"]

    async def test_of_commits_that_share_a_record_and_a_version_exactly_one_wins(
        self, store: Store, crew: list[Store]
    ) -> None:
        at = await write(store, *(item(name) for name in "wxyz"))
        winners: list[tuple[str, ...]] = []

        async def context(mine: Store, pair: tuple[str, ...]) -> None:
            body = "".join(pair).encode()
            one = commit(*(item(name, expected=at[name], body=body) for name in pair))
            answer = await apply(mine, one)
            if isinstance(answer, Committed):
                winners.append(pair)
            else:
                assert {key for _, key in answer.keys} <= set(pair)

        pairs = list(combinations("wxyz", 2))
        await at_once(*(partial(context, mine, pair) for mine in crew[:2] for pair in pairs))
        written = [name for pair in winners for name in pair]
        assert winners
        assert len(written) == len(set(written))
        for pair in winners:
            for name in pair:
                assert (await read(store, name)).body == "".join(pair).encode()

    async def test_a_commit_that_is_made_several_times_at_once_is_one_commit(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        one = commit(item("a"), plain("b"), events=[event_of("a")], increments=[Increment("n")])
        answers: list[Committed | Conflict] = []

        async def writer(mine: Store) -> None:
            answers.append(await apply(mine, one))

        await at_once(*(partial(writer, mine) for mine in crew * 2))
        await harness.settle()
        record, beside = await read(store, "a"), await read(store, "b", "plain")
        versions = {("items", "a"): record.version, ("plain", "b"): beside.version}
        assert answers == [Committed(versions)] * len(answers)
        assert [entry.version for entry in await whole_log(store)] == [record.version]
        assert dict((await store.counters("n")).values) == {"n": 1}

    async def test_of_an_update_and_a_delete_exactly_one_wins(
        self, store: Store, crew: list[Store]
    ) -> None:
        at = await write(store, *(item(f"{number:02}") for number in range(10)))
        won: dict[str, list[str]] = {key: [] for key in at}

        async def race(mine: Store, key: str, deed: str, one: Commit) -> None:
            if isinstance(await apply(mine, one), Committed):
                won[key].append(deed)

        updates = [partial(race, crew[0], key, "update", update(key, at[key])) for key in at]
        deletes = [partial(race, crew[1], key, "delete", delete(key, at[key])) for key in at]
        # Half of the updates are asked for first, and half of the deletes.
        await at_once(*updates[:5], *deletes, *updates[5:])
        for key, winners in won.items():
            there = await find(store, key)
            assert winners == ["delete" if there is None else "update"]
            beside = await find(store, f"beside {key}", "plain")
            assert (beside is not None) == (there is None)


def update(key: str, expected: int) -> Commit:
    """Return an update of an item."""
    return commit(item(key, expected=expected, body=b"new"))


def delete(key: str, expected: int) -> Commit:
    """Return the removal of an item, beside a put that shows whether it was applied."""
    removal = Delete(collection="items", key=key, expected=expected)
    return commit(plain(f"beside {key}"), removal)


async def add(store: Store, key: str, amount: int, *, events: bool = False) -> None:
    """Read a number, add to it, and commit; repeat after each conflict."""
    while True:
        record = await read(store, key)
        put = item(key, expected=record.version, body=b"%d" % (int(record.body) + amount))
        told_of = [event_of(key)] if events else []
        answer = await apply(store, commit(put, events=told_of, increments=[Increment("n")]))
        if isinstance(answer, Committed):
            return
        await insist_on_a_cause(store, answer, {key: record.version})


async def move(store: Store, source: str, target: str) -> None:
    """Take one from a number and add it to another one, in one commit."""
    while True:
        records = await store.get("items", [source, target])
        bodies = {source: int(records[source].body) - 1, target: int(records[target].body) + 1}
        puts = [
            item(key, expected=records[key].version, body=b"%d" % number)
            for key, number in bodies.items()
        ]
        answer = await apply(store, commit(*puts))
        if isinstance(answer, Committed):
            return
        seen = {key: record.version for key, record in records.items()}
        await insist_on_a_cause(store, answer, seen)


async def insist_on_a_cause(store: Store, conflict: Conflict, seen: dict[str, int]) -> None:
    """Check that each record of a conflict has been written after it was read.

    That also limits the number of retries: each conflict is the success of another writer.
    """
    assert conflict.keys
    for _, key in conflict.keys:
        assert (await read(store, key)).version > seen[key], f"nothing wrote {key!r} meanwhile"
