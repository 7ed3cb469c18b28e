"""What the store's clock is: the one that decides, and it never goes back (I4)."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from cicd_core.testing.conformance.crew import at_once
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import SECOND, claim, item, plain, write

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.clock import VirtualClock
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness


class ClockPromises(Suite):
    """The store's time."""

    async def test_the_clock_never_goes_back(self, store: Store) -> None:
        times = [(await store.now()).micros for _ in range(30)]
        assert times == sorted(times)

    async def test_the_clock_never_goes_back_among_many_callers(self, store: Store) -> None:
        latest = 0

        async def ask(name: int) -> None:
            nonlocal latest
            for turn in range(5):
                answered = latest  # before this question was asked
                now = (await store.now()).micros
                assert now >= answered
                latest = max(latest, now)
                await write(store, plain(f"{name}-{turn}"))

        await at_once(*(partial(ask, name) for name in range(8)))

    async def test_the_clock_says_how_far_it_may_be_off(self, store: Store) -> None:
        assert (await store.now()).uncertainty >= 0

    async def test_the_clock_counts_microseconds_since_1970(self, store: Store) -> None:
        year_2020, year_2286 = 1_577_836_800 * SECOND, 10**16
        assert year_2020 < (await store.now()).micros < year_2286

    async def test_the_clock_moves_on(
        self, store: Store, harness: StoreHarness, clock: StoreClock
    ) -> None:
        later = await clock.now() + clock.brief
        await clock.reach(later)
        now = await clock.now()
        assert now == later if harness.clock else now >= later

    async def test_every_store_on_the_same_data_has_the_same_time(
        self, crew: list[Store], clock: StoreClock
    ) -> None:
        await clock.reach(await clock.now() + clock.brief)
        async with crew[0].sibling() as sibling:
            times = [await each.now() for each in (*crew, sibling, *crew)]
        for earlier, later in pairwise(times):
            assert earlier.micros - earlier.uncertainty <= later.micros + later.uncertainty

    async def test_a_clock_that_stands_still_does_so_in_every_store(
        self, crew: list[Store], exact_clock: VirtualClock
    ) -> None:
        exact_clock.advance(3)
        assert len({(await each.now()).micros for each in crew}) == 1

    async def test_leases_are_granted_by_the_stores_clock(
        self, store: Store, harness: StoreHarness, clock: StoreClock
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        await clock.reach(await clock.now() + clock.brief)
        before = await clock.now()
        (record,) = await store.claim(claim())
        assert record.lease is not None
        assert before <= record.lease.granted <= await clock.now()
