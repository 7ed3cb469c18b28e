"""Stores that open later on the same data, and stores that close: data belongs to no handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.store.records import Increment, Renewal
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    in_lane,
    in_state,
    item,
    keys_in,
    numbers_in,
    read,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness


class ReopeningPromises(Suite):
    """As for a service that restarts while others go on."""

    async def test_a_store_that_opens_later_sees_everything(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        one = commit(item("a"), item("b"), events=[event_of("a")], increments=[Increment("n", 3)])
        answer = await apply(store, one)
        await harness.settle()
        async with harness.open(namespace) as later:
            assert await whole_log(later) == await whole_log(store)
            assert dict((await later.counters("")).values) == {"n": 3}
            assert await numbers_in(later, in_lane()) == [2]
            assert await keys_in(later, in_lane()) == ["a", "b"]
            assert await apply(later, one) == answer

    async def test_a_store_that_opens_later_repeats_claims_and_renews_leases(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        await write(store, item("a"), item("b"))
        await harness.settle()
        mine = claim()
        (held,) = await store.claim(mine)
        async with harness.open(namespace) as later:
            assert await later.claim(mine) == [held]
            renewal = Renewal(
                collection="items", key=held.key, claim_id=mine.claim_id, duration=60 * SECOND
            )
            (renewed,) = await later.renew([renewal])
        assert renewed is not None
        assert renewed.version == held.version

    async def test_leases_and_cursors_outlive_the_store_that_gave_them(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        mine = claim()
        async with harness.open(namespace) as other:
            await write(other, item("a"), events=[event_of("a")], increments=[Increment("n")])
            await harness.settle()
            (held,) = await other.claim(mine)
            read_to = (await other.read_log(None, 10)).cursor
            counted_to = (await other.counters("n")).cursor
        assert await read(store, "a") == held
        assert await store.claim(mine) == [held]
        await write(store, item("b"), events=[event_of("b")])
        await harness.settle()
        assert await keys_in(store, in_state("held")) == ["a"]
        for cursor in (read_to, counted_to):
            page = await store.read_log(cursor, 10)
            assert [entry.key for entry in page.entries] == ["b"]
            assert not page.truncated
