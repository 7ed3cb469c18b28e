"""After a cancelled call the store works, and no write is partial (I7)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from anyio.lowlevel import checkpoint

from cicd_core.store.records import Committed, Increment, Query, Renewal
from cicd_core.testing.conformance.cancel_points import cancelled_at
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    keys_in,
    note,
    numbers_in,
    plain,
    read,
    watch,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit
    from cicd_core.testing.harness import StoreHarness

#: A call of each verb; the key is one that no other call writes.
CALLS: dict[str, Callable[[Store, str], Coroutine[Any, Any, Any]]] = {
    "now": lambda store, _: store.now(),
    "get": lambda store, _: store.get("items", ["a"]),
    "commit": lambda store, key: store.commit([pair(key)]),
    "claim": lambda store, _: store.claim(claim()),
    "renew": lambda store, _: store.renew(
        [Renewal(collection="items", key="a", claim_id="unknown", duration=SECOND)]
    ),
    "page": lambda store, _: store.page(Query(partition=in_lane(), limit=5)),
    "count": lambda store, _: store.count([in_lane()]),
    "counters": lambda store, _: store.counters(""),
    "read_log": lambda store, _: store.read_log(None, 5),
    # It ends by itself, so that it does not block the test without a cancellation.
    "wait": lambda store, _: store.wait([watch(in_lane("empty"))], 0.02),
}
#: Maximum number of awaits at which a call is cancelled; a polling call may have many.
MOST_POINTS: Final = 24
#: The same, with many concurrent calls each time.
FEW_POINTS: Final = 6


class CancellationPromises(Suite):
    """After a cancellation at any await, the store is usable and consistent."""

    @pytest.mark.parametrize("verb", CALLS)
    async def test_a_store_is_usable_after_a_call_that_was_cancelled_before_it_began(
        self, store: Store, verb: str
    ) -> None:
        await write(store, item("a"))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await CALLS[verb](store, "new")
        assert (await read(store, "a")).body == b"body of a"
        await write(store, item("b"))

    @pytest.mark.parametrize("turns", [0, 2])
    @pytest.mark.parametrize("verb", CALLS)
    async def test_a_store_is_usable_after_a_call_that_was_cancelled_at_any_of_its_awaits(
        self, store: Store, verb: str, turns: int
    ) -> None:
        await write(store, item("a"))
        async for key in each_point(partial(CALLS[verb], store), turns):
            assert (await read(store, "a")).body == b"body of a"
            await write(store, plain(f"after {key}"))

    @pytest.mark.parametrize("others_first", [False, True])
    @pytest.mark.parametrize("verb", CALLS)
    async def test_a_cancelled_call_takes_no_answer_from_concurrent_calls(
        self, store: Store, verb: str, others_first: bool
    ) -> None:
        await write(store, item("a"), note("b"))

        async def others(key: str) -> None:
            for name, collection in (("a", "items"), ("b", "side-notes")):
                assert (await read(store, name, collection)).key == name
            assert len(await write(store, item(f"beside {key}", lane=None))) == 1

        async def all_at_once(key: str) -> None:
            for number in range(3):
                beside.start_soon(others, f"{key} {number}")
            if others_first:
                await checkpoint()
            await CALLS[verb](store, key)

        async with anyio.create_task_group() as beside:
            async for _ in each_point(all_at_once, 0, FEW_POINTS):
                for _ in range(5):  # let concurrent calls end, sometimes
                    await checkpoint()

    @pytest.mark.parametrize("turns", [0, 2])
    async def test_no_part_of_a_cancelled_commit_remains(
        self, store: Store, harness: StoreHarness, turns: int
    ) -> None:
        keys: list[str] = []
        async for key in each_point(lambda key: store.commit([pair(key)]), turns):
            keys.append(key)
            await write(store, plain(f"after {key}"))
        await insist_on_whole_pairs(store, harness, keys)

    @pytest.mark.parametrize("turns", range(0, 8, 2))
    async def test_no_part_of_many_cancelled_commits_remains(
        self, store: Store, harness: StoreHarness, turns: int
    ) -> None:
        keys = [f"{number}" for number in range(10)]
        async with anyio.create_task_group() as tasks:
            for key in keys:
                tasks.start_soon(store.commit, [pair(key)])
            for _ in range(turns):
                await checkpoint()
            tasks.cancel_scope.cancel()
        await insist_on_whole_pairs(store, harness, keys)

    @pytest.mark.parametrize("turns", [0, 2])
    async def test_a_cancelled_commit_can_be_repeated(
        self, store: Store, harness: StoreHarness, turns: int
    ) -> None:
        commits: dict[str, Commit] = {}

        async def call(key: str) -> None:
            commits[key] = pair(key)
            await store.commit([commits[key]])

        async for key in each_point(call, turns):
            assert isinstance(await apply(store, commits[key]), Committed)
        await harness.settle()
        assert sorted(entry.key for entry in await whole_log(store)) == sorted(commits)
        assert dict((await store.counters("n")).values) == {"n": len(commits)}
        assert await keys_in(store, in_lane()) == sorted(commits)

    @pytest.mark.parametrize("turns", [0, 2])
    async def test_a_cancelled_claim_can_be_repeated(
        self, store: Store, harness: StoreHarness, turns: int
    ) -> None:
        puts = [item(f"{number:02}", lane=f"of {number:02}") for number in range(MOST_POINTS + 1)]
        at = await write(store, *puts)
        await harness.settle()

        async def call(key: str) -> None:
            await store.claim(claim(3, lanes=[f"of {key}"], claim_id=f"claim of {key}"))

        async for key in each_point(call, turns):
            again = claim(3, lanes=[f"of {key}"], claim_id=f"claim of {key}")
            (record,) = await store.claim(again)
            assert record.version == at[key] + 1
            assert record == await read(store, key)

    @pytest.mark.parametrize("turns", [0, 2])
    async def test_a_cancelled_renewal_can_be_repeated(
        self, store: Store, harness: StoreHarness, turns: int
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        (held,) = await store.claim(claim(claim_id="holder"))
        renewal = Renewal(collection="items", key="a", claim_id="holder", duration=60 * SECOND)
        async for _ in each_point(lambda _: store.renew([renewal]), turns):
            (renewed,) = await store.renew([renewal])
            assert renewed is not None
            assert renewed.version == held.version


async def each_point(
    call: Callable[[str], Coroutine[Any, Any, Any]], turns: int, most: int = MOST_POINTS
) -> AsyncIterator[str]:
    """Repeat a call, each time with another key, cancelled at another await.

    Yields:
        The key of each call, after its cancellation or, for the last one, its normal end.
    """
    for point in range(most):
        key = f"{point:02}"
        was_cancelled = await cancelled_at(partial(call, key), point, turns=turns)
        yield key
        if not was_cancelled:
            return


async def insist_on_whole_pairs(store: Store, harness: StoreHarness, keys: list[str]) -> None:
    """Check that each pair exists entirely or not at all, and that another one can be put."""
    await store.commit([pair("last")])
    await harness.settle()
    everything = [*keys, "last"]
    there = set(await store.get("items", everything))
    assert "last" in there
    assert there == set(await store.get("side-notes", everything))
    assert sorted(there) == sorted(entry.key for entry in await whole_log(store))
    assert sorted(there) == await keys_in(store, in_lane())
    assert await numbers_in(store, in_lane()) == [len(there)]
    assert dict((await store.counters("n")).values) == {"n": len(there)}


def pair(key: str) -> Commit:
    """Return a commit of an item and a note, with an event and an increment."""
    return commit(item(key), note(key), events=[event_of(key)], increments=[Increment("n")])
