"""The store's clocks: elapsed time, which decides and never goes back, and a calendar."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from cicd_core.store.records import Conflict, Delete, Guard, Query, Renewal
from cicd_core.testing.client_clock import client_clock
from cicd_core.testing.conformance.crew import at_once
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
    plain,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from cicd_core.store.contract import Store
    from cicd_core.testing.clock import VirtualClock
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.conformance.suite import SetWallClock
    from cicd_core.testing.harness import StoreHarness

DAY = 86400 * SECOND
#: Seconds by which a wall clock is set: by mistake, by NTP, or on a machine that starts in 1970 or
#: with the date of an empty battery.
STEPS = pytest.mark.parametrize("step", [-40 * 365 * 86400, -90, 90, 365 * 86400])


class ClockPromises(Suite):
    """The store's time."""

    @pytest.fixture(params=["store", "client"])
    def set_some_clock(
        self, request: pytest.FixtureRequest, set_wall_clock: SetWallClock
    ) -> Generator[SetWallClock, None, None]:
        """Sets the wall clock that the store uses, or that of this process."""
        if request.param == "store":
            yield set_wall_clock
            return
        with client_clock() as clock:

            async def set_by(seconds: float) -> None:
                clock.step(seconds)

            yield set_by

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

    async def test_the_clock_states_its_uncertainty(self, store: Store) -> None:
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
            times = [await member.now() for member in (*crew, sibling, *crew)]
        for earlier, later in pairwise(times):
            assert earlier.micros - earlier.uncertainty <= later.micros + later.uncertainty

    async def test_a_stopped_clock_stands_still_in_every_store(
        self, crew: list[Store], exact_clock: VirtualClock
    ) -> None:
        exact_clock.advance(3)
        assert len({(await member.now()).micros for member in crew}) == 1

    async def test_leases_are_granted_by_the_stores_clock(
        self, store: Store, harness: StoreHarness, clock: StoreClock
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        await clock.reach(await clock.now() + clock.brief)
        before = await clock.earliest()
        (record,) = await store.claim(claim())
        assert record.lease is not None
        assert before <= record.lease.granted <= await clock.latest()

    @STEPS
    async def test_a_set_wall_clock_does_not_move_elapsed_time(
        self, crew: list[Store], set_some_clock: SetWallClock, clock: StoreClock, step: int
    ) -> None:
        before = await clock.now()
        await set_some_clock(step)
        async with crew[0].sibling() as sibling:
            for member in (*crew, sibling):
                now = await member.now()
                assert before - now.uncertainty <= now.micros + now.uncertainty
                assert now.micros - now.uncertainty < before + 60 * SECOND
                await write(member, plain(f"a-{id(member)}"))
        assert before <= await clock.now() < before + 60 * SECOND

    @STEPS
    async def test_a_calendar_follows_the_wall_clock_at_once_in_every_store(
        self, crew: list[Store], exact_clock: VirtualClock, step: int
    ) -> None:
        async with crew[0].sibling() as sibling:
            for member in (step, -step):
                exact_clock.step_calendar(member)
                times = {await member.now() for member in (*crew, sibling)}
                assert {now.calendar for now in times} == {exact_clock.calendar()}
                assert {now.micros for now in times} == {exact_clock.micros()}

    @STEPS
    async def test_a_set_wall_clock_drops_no_record_and_no_event(
        self,
        store: Store,
        harness: StoreHarness,
        set_some_clock: SetWallClock,
        clock: StoreClock,
        step: int,
    ) -> None:
        ends = await clock.now() + DAY
        await write(store, item("a", expires_at=ends), events=[event_of("a")])
        await harness.settle()
        await set_some_clock(step)
        for name in ("b", "c"):  # a write removes expired records
            await write(store, item(name), events=[event_of(name)])
            await harness.settle()
        assert await find(store, "a") is not None
        page = await store.page(Query(partition=in_lane(), limit=9))
        assert [record.key for record in page.records] == ["a", "b", "c"]
        log = await store.read_log(None, 9)
        assert sorted(entry.key for entry in log.entries) == ["a", "b", "c"]
        assert not log.truncated

    @STEPS
    async def test_a_set_wall_clock_neither_ends_nor_extends_a_lease(
        self,
        store: Store,
        harness: StoreHarness,
        set_some_clock: SetWallClock,
        clock: StoreClock,
        step: int,
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        (record,) = await store.claim(claim())
        lease = record.lease
        assert lease is not None
        await set_some_clock(step)
        take = Delete(
            collection="items", key="a", expected=record.version, guard=Guard.LEASE_EXPIRED
        )
        taking = commit(take, plain("taken"))
        assert await apply(store, taking) == Conflict((("items", "a"),))
        renewal = Renewal(
            collection="items", key="a", claim_id=lease.claim_id, duration=40 * SECOND
        )
        (renewed,) = await store.renew([renewal])
        assert renewed is not None
        assert lease.expires < renewed.expires < lease.expires + 60 * SECOND

    @STEPS
    async def test_versions_grow_when_a_record_is_recreated_after_a_set_wall_clock(
        self, store: Store, set_some_clock: SetWallClock, step: int
    ) -> None:
        versions: list[int] = []
        for one in (0, step, -step):
            await set_some_clock(one)
            versions.append((await write(store, item("a")))["a"])
            gone = Delete(collection="items", key="a", expected=versions[-1])
            await write(store, gone, plain(f"p-{len(versions)}"))
        assert versions == sorted(set(versions))
