"""What the store's clock is: the one that decides, and it never goes back (I4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import SECOND, claim, item, write

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.clock import VirtualClock
    from cicd_core.testing.harness import StoreHarness


class ClockPromises(Suite):
    """The store's time."""

    async def test_the_clock_never_goes_back(self, store: Store) -> None:
        times = [(await store.now()).micros for _ in range(100)]
        assert times == sorted(times)

    async def test_the_clock_never_goes_back_among_many_callers(self, store: Store) -> None:
        times: list[int] = []

        async def ask() -> None:
            for number in range(5):
                times.append((await store.now()).micros)
                await write(store, item(f"{id(ask)}-{len(times)}-{number}"))

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask)
        assert times == sorted(times)

    async def test_the_clock_says_how_far_it_may_be_off(self, store: Store) -> None:
        assert (await store.now()).uncertainty >= 0

    async def test_the_clock_counts_microseconds_since_1970(self, store: Store) -> None:
        year_2020, year_2286 = 1_577_836_800 * SECOND, 10**16
        assert year_2020 < (await store.now()).micros < year_2286

    async def test_the_clock_moves_on(self, store: Store, clock: VirtualClock) -> None:
        before = (await store.now()).micros
        clock.advance(5)
        assert (await store.now()).micros == before + 5 * SECOND

    async def test_every_store_on_the_same_data_has_the_same_time(
        self, store: Store, harness: StoreHarness, namespace: str, clock: VirtualClock
    ) -> None:
        clock.advance(3)
        async with harness.open(namespace) as other, store.sibling() as sibling:
            times = {(await each.now()).micros for each in (store, other, sibling)}
        assert len(times) == 1

    async def test_leases_are_granted_by_the_stores_clock(
        self, store: Store, harness: StoreHarness, clock: VirtualClock
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        clock.advance(1000)
        now = (await store.now()).micros
        (record,) = await store.claim(claim())
        assert record.lease is not None
        assert record.lease.granted == now
