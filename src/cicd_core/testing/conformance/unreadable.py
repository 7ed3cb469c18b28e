"""Records that do not decode: a read by key reports it, and other calls are not blocked."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import CorruptRecord
from cicd_core.store.limits import MAX_INSTANT
from cicd_core.store.records import Committed, Conflict, Lease, Query, Renewal
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    ITEMS,
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    find,
    in_lane,
    in_state,
    item,
    keys_in,
    read,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Record
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness


class UnreadablePromises(Suite):
    """A damaged record beside valid ones."""

    @pytest.fixture
    async def three(self, store: Store, harness: StoreHarness) -> None:
        """Three records in a lane that every claim finds; the first one is ``bad``."""
        some = (item("bad", rank="1"), item("good", rank="2"), item("third", rank="3"))
        await store.commit([commit(one, events=[event_of(one.key)]) for one in some])
        await harness.settle()

    async def damage(self, harness: StoreHarness, namespace: str) -> None:
        await harness.settle()
        if not await harness.damage(namespace, ITEMS.name, "bad"):
            pytest.skip("this harness cannot damage a record")

    async def test_a_read_of_an_unreadable_record_names_it(
        self, store: Store, three: None, harness: StoreHarness, namespace: str
    ) -> None:
        await self.damage(harness, namespace)
        with pytest.raises(CorruptRecord) as caught:
            await find(store, "bad")
        assert (caught.value.collection, caught.value.key) == (ITEMS.name, "bad")
        assert (await read(store, "good")).key == "good"

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("limit", [1, 10])
    async def test_a_page_has_all_records_except_an_unreadable_one(
        self,
        store: Store,
        three: None,
        harness: StoreHarness,
        namespace: str,
        descending: bool,
        limit: int,
    ) -> None:
        await self.damage(harness, namespace)
        seen: list[Record] = []
        bounds: dict[str, str] = {}
        while True:
            query = Query(partition=in_state("new"), limit=limit, descending=descending, **bounds)
            page = await store.page(query)
            seen += page.records
            if not page.more:
                break
            last = page.records[-1].attributes["made-at"]
            bounds = {"before": last} if descending else {"after": last}
        keys = [one.key for one in seen]
        assert keys == (["third", "good"] if descending else ["good", "third"])

    async def test_claims_take_the_records_after_an_unreadable_one(
        self, store: Store, three: None, harness: StoreHarness, namespace: str
    ) -> None:
        await self.damage(harness, namespace)
        taken: set[str] = set()
        for _ in range(3):  # one of the claims may find it, and return fewer records
            taken |= {record.key for record in await store.claim(claim(2))}
        assert taken == {"good", "third"}

    async def test_a_repeated_claim_with_an_unreadable_record_answers_the_others(
        self, store: Store, three: None, harness: StoreHarness, namespace: str
    ) -> None:
        one = claim(3)
        assert len(await store.claim(one)) == 3
        await self.damage(harness, namespace)
        assert {record.key for record in await store.claim(one)} == {"good", "third"}

    async def test_a_repeated_claim_with_only_an_unreadable_record_takes_no_other(
        self, store: Store, three: None, harness: StoreHarness, namespace: str
    ) -> None:
        claims = [claim(1) for _ in range(12)]  # in no strict order, and some may find nothing
        taken = {record.key: one for one in claims for record in await store.claim(one)}
        await self.damage(harness, namespace)
        await write(store, item("more"))
        await harness.settle()
        assert await store.claim(taken["bad"]) == []

    async def test_leases_beside_one_on_an_unreadable_record_are_renewed(
        self, store: Store, three: None, harness: StoreHarness, namespace: str
    ) -> None:
        one = claim(3)
        await store.claim(one)
        await self.damage(harness, namespace)
        renewals = [
            Renewal(collection=ITEMS.name, key=key, claim_id=one.claim_id, duration=60 * SECOND)
            for key in ("third", "bad", "good")
        ]
        third, _, good = await store.renew(renewals)
        assert third is not None
        assert good is not None

    async def test_an_unreadable_record_ends_with_its_retention(
        self, store: Store, clock: StoreClock, harness: StoreHarness, namespace: str
    ) -> None:
        moment = await clock.now() + clock.brief
        lease = Lease(claim_id="c", granted=0, renewed=0, expires=0, limit=MAX_INSTANT)
        await write(store, item("bad", lease=lease, expires_at=moment), item("good"))
        await self.damage(harness, namespace)
        # Until then, it is reported, and in no one's way.
        with suppress(CorruptRecord):
            assert isinstance(await apply(store, commit(item("bad"))), Conflict | Committed)
        assert await store.claim(claim(claim_id="c", lanes=["none"])) == []
        assert [record.key for record in await store.claim(claim(9))][-1:] == ["good"]
        await clock.reach_safely(moment)
        await write(store, item("beside"))
        with suppress(CorruptRecord):  # its retention may be unreadable too
            assert await find(store, "bad") is None
            await write(store, item("bad", lane="other", body=b"readable"))
            await harness.settle()
            assert (await read(store, "bad")).body == b"readable"
            assert await keys_in(store, in_lane("other")) == ["bad"]

    async def test_the_log_has_events_of_an_unreadable_record_and_of_the_others(
        self, store: Store, three: None, harness: StoreHarness, namespace: str
    ) -> None:
        await self.damage(harness, namespace)
        await write(store, item("fourth"), events=[event_of("fourth")])
        await harness.settle()
        keys = sorted(entry.key for entry in await whole_log(store))
        assert keys == ["bad", "fourth", "good", "third"]
