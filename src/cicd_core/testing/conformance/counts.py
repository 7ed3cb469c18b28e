"""Counts of records in partitions, and sums of increments."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.store.records import Increment
from cicd_core.testing.conformance.crew import at_once
from cicd_core.testing.conformance.records import rescue
from cicd_core.testing.conformance.suite import Suite, require
from cicd_core.testing.harness import Capability
from cicd_core.testing.samples import (
    claim,
    commit,
    event_of,
    in_lane,
    in_state,
    item,
    note,
    numbers_in,
    on_shelf,
    plain,
    remove,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Counters
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness


class CountPromises(Suite):
    """Counts follow every write."""

    async def test_a_count_states_whether_it_is_exact(
        self, store: Store, harness: StoreHarness
    ) -> None:
        require(harness, Capability.EXACT_COUNTS)
        (count,) = await store.count([in_lane()])
        assert (count.number, count.exact) == (0, True)

    async def test_counts_are_answered_in_the_order_given(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"), item("b"), item("c", lane="other"), note("d"))
        await harness.settle()
        partitions = [in_lane("other"), in_lane(), in_lane("none"), on_shelf(), in_state("new")]
        assert await numbers_in(store, *partitions) == [1, 2, 0, 1, 3]
        assert await numbers_in(store, in_lane(), in_lane()) == [2, 2]
        assert await store.count([]) == []

    async def test_counts_follow_puts_moves_and_deletes(
        self, store: Store, harness: StoreHarness
    ) -> None:
        at = await write(store, item("a"), item("b"))
        at |= await write(store, item("a", expected=at["a"], body=b"the same place"))
        await harness.settle()
        assert await numbers_in(store, in_lane(), in_lane("other")) == [2, 0]
        at |= await write(store, item("a", expected=at["a"], lane="other"))
        await harness.settle()
        assert await numbers_in(store, in_lane(), in_lane("other")) == [1, 1]
        await remove(store, "a", at["a"])
        await write(store, item("b", expected=at["b"], lane=None))
        await harness.settle()
        assert await numbers_in(store, in_lane(), in_lane("other")) == [0, 0]

    async def test_counts_follow_claims(self, store: Store, harness: StoreHarness) -> None:
        await write(store, *(item(key) for key in "abcde"))
        await harness.settle()
        await store.claim(claim(2))
        await harness.settle()
        assert await numbers_in(store, in_lane(), in_state("new"), in_state("held")) == [3, 3, 2]

    async def test_counts_follow_retention(
        self, store: Store, harness: StoreHarness, clock: StoreClock
    ) -> None:
        soon = await rescue(store, clock, "rescued")
        later = max(soon, await clock.now()) + clock.brief
        await write(store, item("soon", expires_at=soon), item("later", expires_at=later))
        await write(store, item("kept"))
        await harness.settle()
        numbers = await numbers_in(store, in_lane(), in_state("new"))
        assert numbers == [4, 4] or await clock.has_come(soon)
        await clock.reach_safely(soon)
        numbers = await numbers_in(store, in_lane(), in_state("new"))
        assert numbers == [3, 3] or await clock.has_come(later)
        await clock.reach_safely(later)
        assert await numbers_in(store, in_lane(), in_state("new")) == [2, 2]
        await write(store, item("soon"))
        await harness.settle()
        assert await numbers_in(store, in_lane(), in_state("new")) == [3, 3]

    async def test_counts_are_exact_after_many_at_once(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        require(harness, Capability.EXACT_COUNTS)
        await store.commit([commit(item(f"{number:02}")) for number in range(40)])

        async def take(mine: Store) -> None:
            for record in await mine.claim(claim(2)):
                await mine.commit([commit(item(record.key, expected=record.version, lane=None))])

        await at_once(*(partial(take, mine) for mine in crew * 3))
        assert await numbers_in(store, in_lane(), in_state("held"), in_state("new")) == [16, 0, 40]

    async def test_a_count_of_an_invalid_partition_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidInput):
            await store.count([in_lane(), in_lane("")])


class CounterPromises(Suite):
    """Counters are sums, and agree with the log."""

    async def test_increments_add_up(self, store: Store, harness: StoreHarness) -> None:
        first = [Increment("g|a"), Increment("g|b", 5), Increment("g|a", 2)]
        await write(store, plain("p"), increments=first)
        await write(store, plain("q"), increments=[Increment("g|b", -7)])
        await harness.settle()
        assert dict((await store.counters("g|")).values) == {"g|a": 3, "g|b": -2}

    async def test_a_prefix_is_compared_letter_by_letter(
        self, store: Store, harness: StoreHarness
    ) -> None:
        names = ["wait", "wait/1|a", "wait_1|a", "wait%1|a", "Wait/1|a", "wai", "wait\U0010ffff|"]
        names += ["wait\ud7ff|", "wait\ue000|"]  # beside the surrogates, which are no characters
        names += ["g|a", "g|ab", "g|b", "g|B"]
        await write(store, plain("p"), increments=[Increment(name) for name in names])
        await harness.settle()
        within = ("g|", "g|a", "g|ab", "g|abc")
        for prefix in (
            "",
            "wait",
            "wait/",
            "wait_",
            "wait%",
            "Wait",
            "wait\U0010ffff",
            "wait\ud7ff",
            "none",
            *within,
        ):
            expected = {name: 1 for name in names if name.startswith(prefix)}
            assert dict((await store.counters(prefix)).values) == expected

    @pytest.mark.parametrize("prefix", ["\ud800", "p" * 2000], ids=["no text", "too long"])
    async def test_an_invalid_prefix_is_refused(self, store: Store, prefix: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            await store.counters(prefix)
        assert refused.value.field == "prefix"

    async def test_counters_hold_large_numbers(self, store: Store, harness: StoreHarness) -> None:
        large = 10**15
        await write(store, plain("p"), increments=[Increment("n", large), Increment("n", 1)])
        await harness.settle()
        assert (await store.counters("n")).values["n"] == large + 1

    async def test_no_increment_is_lost_among_many_writers(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        async def bump(mine: Store, number: int) -> None:
            for turn in range(5):
                await write(mine, plain(f"{number}-{turn}"), increments=[Increment("n", number)])

        await at_once(*(partial(bump, mine, number) for number, mine in enumerate(crew * 4)))
        await harness.settle()
        assert (await store.counters("n")).values["n"] == 5 * sum(range(16))

    async def test_counters_agree_with_the_log_at_their_cursor_while_others_write(
        self, harness: StoreHarness, crew: list[Store]
    ) -> None:
        snapshots: list[Counters] = []

        async def context(mine: Store, name: str) -> None:
            version = 0
            for _ in range(8):
                put = item(name, expected=version)
                version = (
                    await write(mine, put, events=[event_of(name)], increments=[Increment("n")])
                )[name]

        async def reader(mine: Store) -> None:
            for _ in range(16):
                snapshots.append(await mine.counters("n"))  # noqa: PERF401 - one by one

        writers = [partial(context, mine, f"k{at}") for at, mine in enumerate(crew * 2)]
        await at_once(*writers, *(partial(reader, mine) for mine in crew[:2]))
        await harness.settle()
        total = (await crew[0].counters("n")).values["n"]
        assert total == 64
        for snapshot in snapshots:
            behind = await crew[0].read_log(snapshot.cursor, 1000)
            assert not behind.truncated
            assert snapshot.values.get("n", 0) + len(behind.entries) == total, snapshot

    async def test_counters_have_the_cursor_of_their_last_event(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"), events=[event_of("a")], increments=[Increment("n")])
        await harness.settle()
        counters = await store.counters("n")
        await write(store, item("b"), events=[event_of("b")], increments=[Increment("n")])
        await harness.settle()
        behind = await store.read_log(counters.cursor, 100)
        assert counters.values["n"] + len(behind.entries) == (await store.counters("n")).values["n"]
        assert [entry.key for entry in behind.entries] == ["b"]
