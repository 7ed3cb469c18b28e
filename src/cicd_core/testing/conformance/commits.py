"""Commits: all or nothing, once, and only if the records have the expected versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.store.records import (
    MAX_COMMIT_BYTES,
    MAX_RECORD_BYTES,
    Commit,
    Committed,
    Conflict,
    Delete,
    Increment,
    Renewal,
)
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    find,
    in_lane,
    item,
    keys_in,
    note,
    numbers_in,
    plain,
    read,
    remove,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from typing import Any

    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness


def delete(key: str, expected: int, **fields: Any) -> Delete:
    """Return the removal of an item."""
    return Delete(collection="items", key=key, expected=expected, **fields)


class CommitPromises(Suite):
    """Atomicity, conflicts and batches."""

    async def test_a_commit_answers_the_version_of_each_record_that_it_put(
        self, store: Store
    ) -> None:
        old = (await write(store, item("old")))["old"]
        answer = await apply(store, commit(item("a"), note("a"), delete("old", old)))
        assert isinstance(answer, Committed)
        assert set(answer.versions) == {("items", "a"), ("side-notes", "a")}
        assert (await read(store, "a")).version == answer.versions["items", "a"]
        assert await find(store, "old") is None

    async def test_a_commit_that_conflicts_does_nothing_at_all(
        self, store: Store, harness: StoreHarness
    ) -> None:
        version = (await write(store, item("there")))["there"]
        before = await read(store, "there")
        answer = await apply(
            store,
            commit(
                item("new"),
                item("there", expected=version + 1, lane="other"),
                events=[event_of("new")],
                increments=[Increment("n")],
            ),
        )
        await harness.settle()
        assert answer == Conflict((("items", "there"),))
        assert await find(store, "new") is None
        assert await read(store, "there") == before
        assert await keys_in(store, in_lane()) == ["there"]
        assert await numbers_in(store, in_lane(), in_lane("other")) == [1, 0]
        assert await whole_log(store) == []
        assert (await store.counters("")).values.get("n", 0) == 0

    async def test_a_write_to_one_record_leaves_all_others_unchanged(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        keys = list("abcde")
        async with harness.open(f"{namespace}-beside") as beside:
            for one in (store, beside):
                await write(one, *(item(key, rank=key) for key in keys))
            others = [await beside.get("items", keys)]
            await harness.settle()
            before = await store.get("items", keys)
            (taken,) = await store.claim(claim(1, claim_id="mine"))
            key = taken.key
            renewal = Renewal(collection="items", key=key, claim_id="mine", duration=90 * SECOND)
            await store.renew([renewal])
            version = (await write(store, item(key, expected=taken.version, lane=None)))[key]
            await remove(store, key, version)
            await write(store, item(key))
            after = await store.get("items", keys)
            others.append(await beside.get("items", keys))
        assert sorted(after) == keys
        assert {**after, key: None} == {**before, key: None}
        assert others[0] == others[1]

    async def test_a_conflict_names_every_record_with_an_unexpected_version(
        self, store: Store
    ) -> None:
        at = await write(store, item("same"), item("moved"), item("exists"), item("held"))
        writes = (
            item("same", expected=at["same"]),
            item("moved", expected=at["moved"] - 1),
            item("exists"),
            item("absent", expected=7),
            delete("held", at["held"] + 1),
            delete("gone", 7),
        )
        answer = await apply(store, commit(*writes))
        assert isinstance(answer, Conflict)
        assert set(answer.keys) == {
            ("items", key) for key in ("moved", "exists", "absent", "held", "gone")
        }
        assert len(answer.keys) == 5

    async def test_a_commit_of_25_writes_is_whole(
        self, store: Store, harness: StoreHarness
    ) -> None:
        old = await write(store, *(item(f"old{number:02}") for number in range(12)))
        deletes = [delete(key, version) for key, version in old.items()]
        new = [item(f"new{number:02}") for number in range(13)]
        assert len(await write(store, *deletes, *new)) == 13
        await harness.settle()
        assert await keys_in(store, in_lane()) == [f"new{number:02}" for number in range(13)]

    async def test_commits_of_a_list_are_independent(self, store: Store) -> None:
        answers = await store.commit(
            [commit(item("a")), commit(item("b", expected=9)), commit(item("c"))]
        )
        assert [type(answer) for answer in answers] == [Committed, Conflict, Committed]
        assert set(await store.get("items", ["a", "b", "c"])) == {"a", "c"}

    async def test_of_two_in_a_list_that_write_one_record_the_second_sees_the_first(
        self, store: Store
    ) -> None:
        version = (await write(store, item("a")))["a"]
        first = commit(item("a", expected=version, body=b"1"))
        stale = commit(item("a", expected=version, body=b"stale"))
        second = commit(item("a", expected=version + 1, body=b"2"))
        answers = await store.commit([first, stale, second])
        assert answers[0] == Committed({("items", "a"): version + 1})
        assert answers[1] == Conflict((("items", "a"),))
        assert answers[2] == Committed({("items", "a"): version + 2})
        assert (await read(store, "a")).body == b"2"

    async def test_deletes_in_a_list_are_applied_in_their_order(
        self, store: Store, harness: StoreHarness
    ) -> None:
        at = await write(store, item("a"), item("b"))
        made, beside = await store.commit(
            [
                commit(item("c"), delete("a", at["a"])),
                commit(item("a", body=b"made again"), delete("b", at["b"])),
            ]
        )
        assert isinstance(made, Committed)
        assert isinstance(beside, Committed), "the list's first commit had deleted it"
        assert beside.versions["items", "a"] > at["a"]
        twice = delete("a", beside.versions["items", "a"])
        answers = await store.commit(
            [commit(plain("p"), twice), commit(plain("q"), twice), commit(item("b"))]
        )
        assert [type(answer) for answer in answers] == [Committed, Conflict, Committed]
        await harness.settle()
        assert await keys_in(store, in_lane()) == ["b", "c"]
        assert await numbers_in(store, in_lane()) == [2]
        assert await find(store, "q", "plain") is None

    async def test_a_list_may_create_change_and_delete_one_record(
        self, store: Store, harness: StoreHarness
    ) -> None:
        version = (await write(store, item("a")))["a"]
        answers = await store.commit(
            [
                commit(item("a", expected=version, lane="other"), events=[event_of("a", 1)]),
                commit(plain("p"), delete("a", version + 1)),
                commit(item("a", lane="third"), events=[event_of("a", 2)]),
            ]
        )
        assert [type(answer) for answer in answers] == [Committed] * 3
        await harness.settle()
        assert await numbers_in(store, in_lane(), in_lane("other"), in_lane("third")) == [0, 0, 1]
        entries = [(entry.ordinal, entry.version) for entry in await whole_log(store)]
        record = await read(store, "a")
        assert entries == [(1, version + 1), (2, record.version)]
        assert record.version > version + 1

    async def test_a_list_keeps_its_order_for_a_record_with_any_other_writes(
        self, store: Store
    ) -> None:
        at = await write(store, item("a"), item("b"))
        answers = await store.commit(
            [
                commit(plain("p")),
                commit(item("b", expected=at["b"])),
                commit(plain("q")),
                commit(item("a", expected=at["a"], body=b"first")),
                commit(plain("r"), item("a", expected=at["a"], body=b"second")),
            ]
        )
        assert [type(answer) for answer in answers] == [*[Committed] * 4, Conflict]
        assert (await read(store, "a")).body == b"first"

    async def test_an_empty_list_of_commits_has_an_empty_answer(self, store: Store) -> None:
        assert await store.commit([]) == []


def malformed() -> dict[str, Commit]:
    """Return commits that every store refuses, by their fault."""
    big = b"x" * MAX_RECORD_BYTES
    wide = {"lane": "l" * 1025, "rank": "1:a"}
    return {
        "nothing to write": commit(),
        "no put": commit(delete("a", 1)),
        "26 writes": commit(*(plain(f"k{number}") for number in range(26))),
        "one record twice": commit(item("a"), item("a", expected=1)),
        "a put and a delete of one record": commit(item("a"), delete("a", 1)),
        "an unknown collection": commit(plain("a"), Delete(collection="x", key="a", expected=1)),
        "an unknown attribute": commit(item("a", attributes={"colour": "red"})),
        "a partition without its sort value": commit(item("a", attributes={"lane": "main"})),
        "a sort value that does not end in the key": commit(
            item("a", attributes={"lane": "main", "rank": "5:b"})
        ),
        "a sort value that ends in the key without a colon": commit(
            item("a", attributes={"lane": "main", "rank": "ba"})
        ),
        "a sort value that another key could have": commit(
            item("a", attributes={"lane": "main", "rank": "5:b:a"})
        ),
        "an empty attribute": commit(item("a", attributes={"lane": "", "rank": "5:a"})),
        "a long attribute": commit(item("a", attributes=wide)),
        "a version below 0": commit(item("a", expected=-1)),
        "a delete of a missing record": commit(plain("p"), delete("a", 0)),
        "an event without a version": commit(item("a"), events=[event_of("b")]),
        "over 1 MiB": commit(*(plain(f"k{number}", body=big) for number in range(3))),
        "over 1 MiB with its events": commit(
            plain("k", body=big), item("a", body=big), events=[event_of("a", body=big)]
        ),
        "a body over its limit": commit(plain("k", body=big + b"x")),
        "an id that is empty": Commit(commit_id="", writes=(item("a"),)),
        "a counter without a name": commit(item("a"), increments=[Increment("")]),
        "a retention before time began": commit(item("a", expires_at=-1)),
        "a lease limit of nothing": commit(item("a", lease_limit=0)),
    }


class MalformedCommitPromises(Suite):
    """A malformed commit is refused before any write."""

    @pytest.mark.parametrize("wrong", malformed())
    async def test_a_malformed_commit_stops_its_whole_list(self, store: Store, wrong: str) -> None:
        with pytest.raises(InvalidInput):
            await store.commit([commit(item("good")), malformed()[wrong]])
        assert await find(store, "good") is None

    async def test_the_refusal_of_a_large_commit_names_the_limit(self, store: Store) -> None:
        with pytest.raises(TooLarge) as refused:
            await store.commit([malformed()["over 1 MiB"]])
        assert refused.value.limit == MAX_COMMIT_BYTES
        with pytest.raises(TooLarge) as refused:
            await store.commit([malformed()["26 writes"]])
        assert (refused.value.field, refused.value.limit) == ("writes", 25)

    async def test_a_commit_may_be_as_large_as_its_limit(self, store: Store) -> None:
        third = MAX_COMMIT_BYTES // 4
        await write(
            store,
            *(plain(f"k{number}", body=b"x" * third) for number in range(3)),
            item("a", body=b""),
            events=[event_of("a", body=b"y" * third)],
        )
        assert len((await read(store, "k2", "plain")).body) == third
