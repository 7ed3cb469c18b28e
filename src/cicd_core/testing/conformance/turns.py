"""Waiters that take turns: a record wakes the first one, and no wake-up ends with a waiter."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.conformance.waiting import LONG, let_it_begin, woken
from cicd_core.testing.samples import claim, in_lane, item, watch, write

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Record
    from cicd_core.testing.harness import StoreHarness


class TurnPromises(Suite):
    """A caller that is woken claims, or passes the wake-up on."""

    async def test_each_record_is_claimed_when_waiters_take_turns(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        """Of five waiters, each woken one claims one of the three new records."""
        claimed: list[str] = []
        async with harness.open(namespace) as other:

            async def work(store: Store, turn: str) -> None:
                while len(claimed) < 3:
                    if await store.wait([watch(in_lane(), turn=turn)], LONG):
                        claimed.extend(record.key for record in await store.claim(claim()))
                tasks.cancel_scope.cancel()

            with anyio.fail_after(harness.patience):
                async with anyio.create_task_group() as tasks:
                    for number in range(5):
                        tasks.start_soon(work, other if number % 2 else store, f"{number}")
                    await let_it_begin(store)
                    await write(store, item("a"), item("b"))
                    await write(other, item("c"))
                    await harness.settle()
        assert sorted(claimed) == ["a", "b", "c"]

    async def test_a_waiter_that_claims_nothing_passes_its_turn_on(
        self, store: Store, harness: StoreHarness
    ) -> None:
        """A claim with a limit of 0 wakes the next waiter, if the store wakes one by one."""
        awake: list[str] = []

        async def decline(turn: str) -> None:
            if await store.wait([watch(in_lane(), turn=turn)], LONG):
                awake.append(turn)
                assert await store.claim(claim(0)) == []

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    tasks.start_soon(decline, f"{number}")
                await let_it_begin(store)
                await write(store, item("a"))
                await harness.settle()
        assert sorted(awake) == ["0", "1", "2", "3"]

    async def test_a_cancelled_wait_passes_its_turn_on(
        self, store: Store, harness: StoreHarness
    ) -> None:
        """The first in line is cancelled at the moment of the write, chosen or not."""
        awake: list[str] = []

        async def wait(turn: str) -> None:
            if await store.wait([watch(in_lane(), turn=turn)], LONG):
                awake.append(turn)
                with anyio.CancelScope(shield=True):
                    await store.claim(claim(0))  # as each caller must that takes nothing

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                async with anyio.create_task_group() as first:
                    first.start_soon(wait, "1")
                    await let_it_begin(store)
                    tasks.start_soon(wait, "2")
                    await let_it_begin(store)
                    await write(store, item("a"))
                    first.cancel_scope.cancel()
                await harness.settle()
        assert awake[-1] == "2"

    async def test_each_record_wakes_a_waiter_of_its_own_in_two_lanes(
        self, store: Store, harness: StoreHarness
    ) -> None:
        awake: list[str] = []

        async def wait(turn: str) -> None:
            watches = [watch(in_lane(lane), turn=turn) for lane in ("red", "blue")]
            if await store.wait(watches, LONG):
                awake.append(turn)

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                for turn in "12":
                    tasks.start_soon(wait, turn)
                    await let_it_begin(store)
                await write(store, item("a", lane="red"), item("b", lane="blue"))
                await harness.settle()
        assert sorted(awake) == ["1", "2"]

    async def test_a_wait_that_has_ended_takes_no_turn(
        self, store: Store, harness: StoreHarness
    ) -> None:
        in_line = [watch(in_lane(), turn=turn) for turn in "123"]
        assert not await store.wait(in_line[:1], 0.01)
        with anyio.move_on_after(0.01):
            await store.wait(in_line[1:2], LONG)
        assert await woken(harness, store, in_line[2:], lambda: write(store, item("a")))

    async def test_of_two_watches_of_one_partition_in_turn_the_wider_one_counts(
        self, store: Store, harness: StoreHarness
    ) -> None:
        for watches in ([None, "5:z"], ["5:z", None], ["5:z", "3:a"]):
            lane = f"lane {watches}"
            both = [watch(in_lane(lane), after, "1") for after in watches]
            put = item(f"a {watches}", lane=lane, rank="4")
            assert await woken(harness, store, both, partial(write, store, put))

    async def test_a_claim_of_the_last_record_leaves_the_others_in_line(
        self, store: Store, harness: StoreHarness
    ) -> None:
        claimed: list[str] = []

        async def work(turn: str) -> None:
            mine: list[Record] = []
            while not mine:
                if await store.wait([watch(in_lane(), turn=turn)], LONG):
                    mine = await store.claim(claim())
            claimed.extend(record.key for record in mine)

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                for turn in "123":
                    tasks.start_soon(work, turn)
                for key in "abc":
                    await let_it_begin(store)
                    await write(store, item(key))
                    await harness.settle()
        assert sorted(claimed) == ["a", "b", "c"]
