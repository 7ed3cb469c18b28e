"""Repeated commits: recognised by their id, and answered the same (I6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.records import (
    Commit,
    Committed,
    Conflict,
    Increment,
    Renewal,
)
from cicd_core.testing.conformance.commits import delete
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    item,
    note,
    plain,
    read,
    remove,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness


class RepetitionPromises(Suite):
    """A repeated commit is recognised by its id (I6)."""

    @pytest.fixture
    def once(self) -> Commit:
        """A commit that creates two records."""
        return commit(
            item("a"),
            note("b"),
            events=[event_of("a")],
            increments=[Increment("n")],
            commit_id="once",
        )

    async def test_a_repeated_commit_gives_the_same_answer(
        self, store: Store, once: Commit
    ) -> None:
        first = await apply(store, once)
        assert isinstance(first, Committed)
        assert await apply(store, once) == first

    async def test_a_repeated_commit_changes_nothing(
        self, store: Store, harness: StoreHarness, once: Commit
    ) -> None:
        await apply(store, once)
        before = await read(store, "a")
        await apply(store, once)
        await harness.settle()
        assert await read(store, "a") == before
        assert len(await whole_log(store)) == 1
        assert dict((await store.counters("n")).values) == {"n": 1}

    async def test_a_commit_repeated_in_one_list_is_applied_once(
        self, store: Store, harness: StoreHarness, once: Commit
    ) -> None:
        first, second = await store.commit([once, once])
        await harness.settle()
        assert isinstance(first, Committed)
        assert first == second
        assert len(await whole_log(store)) == 1

    async def test_a_repetition_in_a_list_leaves_the_new_commits_beside_it_whole(
        self, store: Store, harness: StoreHarness, once: Commit
    ) -> None:
        first = await apply(store, once)
        new = [
            commit(item(key), events=[event_of(key)], increments=[Increment("n")]) for key in "cd"
        ]
        answers = await store.commit([new[0], once, new[1]])
        await harness.settle()
        assert answers[1] == first
        assert isinstance(answers[0], Committed)
        assert isinstance(answers[2], Committed)
        assert sorted(entry.key for entry in await whole_log(store)) == ["a", "c", "d"]
        assert dict((await store.counters("n")).values) == {"n": 3}

    async def test_a_repeated_commit_leaves_a_record_that_took_the_place_of_its_deleted_one(
        self, store: Store
    ) -> None:
        version = (await write(store, item("a")))["a"]
        one = commit(plain("p"), delete("a", version))
        first = await apply(store, one)
        await write(store, item("a", body=b"another"))
        assert await apply(store, one) == first
        assert (await read(store, "a")).body == b"another"

    async def test_a_commit_is_not_recognised_by_a_record_that_has_expired(
        self, store: Store, clock: StoreClock
    ) -> None:
        version = (await write(store, item("a")))["a"]
        moment = await clock.now() + clock.brief
        update = commit(item("a", expected=version, expires_at=moment))
        assert isinstance(await apply(store, update), Committed)
        await clock.reach_safely(moment)
        assert await apply(store, update) == Conflict((("items", "a"),))

    async def test_a_repeated_update_gives_the_same_answer(self, store: Store) -> None:
        version = (await write(store, item("a")))["a"]
        update = commit(item("a", expected=version, body=b"2"))
        assert await apply(store, update) == await apply(store, update)
        assert (await read(store, "a")).version == version + 1

    async def test_a_repeated_commit_is_recognised_after_a_claim_and_a_renewal(
        self, store: Store, harness: StoreHarness, once: Commit
    ) -> None:
        first = await apply(store, once)
        await harness.settle()
        (held,) = await store.claim(claim(claim_id="holder"))
        renewal = Renewal(collection="items", key="a", claim_id="holder", duration=99 * SECOND)
        await store.renew([renewal])
        assert await apply(store, once) == first
        assert (await read(store, "a")).version == held.version

    async def test_a_commit_with_a_delete_is_recognised_by_its_puts(self, store: Store) -> None:
        version = (await write(store, item("a")))["a"]
        one = commit(plain("p"), delete("a", version))
        assert await apply(store, one) == await apply(store, one)

    async def test_a_repeated_commit_that_others_partly_overwrote_conflicts(
        self, store: Store, once: Commit
    ) -> None:
        first = await apply(store, once)
        assert isinstance(first, Committed)
        await write(store, item("a", expected=first.versions["items", "a"]))
        assert isinstance(await apply(store, once), Conflict)

    async def test_a_commit_that_conflicted_may_be_applied_later(self, store: Store) -> None:
        version = (await write(store, item("a")))["a"]
        again = commit(item("a"))
        assert isinstance(await apply(store, again), Conflict)
        await remove(store, "a", version)
        assert isinstance(await apply(store, again), Committed)
