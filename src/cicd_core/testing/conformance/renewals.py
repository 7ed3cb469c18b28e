"""Renewals: they extend one lease, and change nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.model.instants import sort_key
from cicd_core.store.records import Renewal
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import SECOND, claim, item, read, remove, write
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Lease, Record
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness


def renewal(key: str = "a", *, claim_id: str = "holder", duration: int = 30 * SECOND) -> Renewal:
    """Return the renewal of an item's lease."""
    return Renewal(collection="items", key=key, claim_id=claim_id, duration=duration)


class RenewalPromises(Suite):
    """Renewals of leases."""

    @pytest.fixture
    async def leased(self, store: Store, harness: StoreHarness) -> Record:
        """Item "a", claimed by "holder" for 30 seconds, and for 100 in total."""
        await write(store, item("a"))
        await harness.settle()
        mine = claim(claim_id="holder", duration=30 * SECOND, lease_limit=100 * SECOND)
        (record,) = await store.claim(mine)
        return record

    async def test_a_renewal_counts_from_now(
        self, store: Store, clock: StoreClock, leased: Record
    ) -> None:
        await clock.reach(await clock.now() + clock.brief)
        before = await clock.earliest()
        (renewed,) = await store.renew([renewal(duration=60 * SECOND)])
        assert renewed is not None
        assert before + 60 * SECOND <= renewed.expires <= await clock.latest() + 60 * SECOND
        assert renewed.limit == lease_of(leased).limit
        assert lease_of(await read(store, "a")).expires == renewed.expires

    async def test_a_renewal_never_moves_a_lease_back(self, store: Store, leased: Record) -> None:
        (renewed,) = await store.renew([renewal(duration=SECOND)])
        assert renewed is not None
        assert renewed.expires == lease_of(leased).expires

    async def test_no_renewal_passes_the_leases_limit(self, store: Store, leased: Record) -> None:
        (renewed,) = await store.renew([renewal(duration=1000 * SECOND)])
        assert renewed is not None
        assert renewed.expires == renewed.limit == lease_of(leased).limit

    async def test_a_renewal_is_the_holders_last_sign_of_life(
        self, store: Store, clock: StoreClock, leased: Record
    ) -> None:
        await clock.reach(await clock.now() + clock.brief)
        before = await clock.earliest()
        await store.renew([renewal()])
        lease = lease_of(await read(store, "a"))
        assert before <= lease.renewed <= await clock.latest()
        assert lease.granted < lease.renewed
        assert lease.granted == lease_of(leased).granted

    async def test_a_renewal_at_the_limit_is_a_sign_of_life_too(
        self, store: Store, clock: StoreClock, leased: Record
    ) -> None:
        await store.renew([renewal(duration=1000 * SECOND)])
        await clock.reach(await clock.now() + clock.brief)
        before = await clock.earliest()
        (renewed,) = await store.renew([renewal(duration=1000 * SECOND)])
        lease = lease_of(await read(store, "a"))
        assert renewed is not None
        assert (renewed.expires, lease.expires) == (lease.limit, lease.limit)
        assert before <= lease.renewed <= await clock.latest()

    async def test_a_renewal_that_would_move_a_lease_back_is_a_sign_of_life_too(
        self, store: Store, clock: StoreClock, leased: Record
    ) -> None:
        await clock.reach(await clock.now() + clock.brief)
        before = await clock.earliest()
        await store.renew([renewal(duration=SECOND)])
        lease = lease_of(await read(store, "a"))
        assert lease.expires == lease_of(leased).expires
        assert before <= lease.renewed <= await clock.latest()

    async def test_a_renewal_leaves_everything_but_the_expiry_and_the_sign_of_life(
        self, store: Store, leased: Record
    ) -> None:
        (renewed,) = await store.renew([renewal(duration=60 * SECOND)])
        after = await read(store, "a")
        assert renewed is not None
        lease = lease_of(after)
        assert lease == evolve(lease_of(leased), renewed=lease.renewed, expires=renewed.expires)
        assert (after.version, after.body, after.grant, after.commit_id) == (
            leased.version,
            leased.body,
            leased.grant,
            leased.commit_id,
        )
        # The attribute that follows the lease may move on with it, and need not.
        moved = {**leased.attributes, "due": sort_key(renewed.expires, "a")}
        assert after.attributes in (leased.attributes, moved)

    async def test_a_holder_may_commit_with_its_version_after_a_renewal(
        self, store: Store, leased: Record
    ) -> None:
        await store.renew([renewal()])
        await write(store, item("a", expected=leased.version))

    async def test_a_renewal_shows_the_version_of_another_writer(
        self, store: Store, leased: Record
    ) -> None:
        await write(store, item("a", expected=leased.version, lane=None))
        (renewed,) = await store.renew([renewal()])
        assert renewed is not None
        assert renewed.version == leased.version + 1

    async def test_an_expired_lease_that_no_claim_took_is_renewed(
        self, store: Store, harness: StoreHarness, clock: StoreClock
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        mine = claim(claim_id="holder", duration=clock.brief, lease_limit=100 * SECOND)
        (record,) = await store.claim(mine)
        await clock.outlast(lease_of(record))
        before = await clock.earliest()
        (renewed,) = await store.renew([renewal()])
        assert renewed is not None
        assert before + 30 * SECOND <= renewed.expires <= await clock.latest() + 30 * SECOND

    async def test_another_claim_cannot_renew(self, store: Store, leased: Record) -> None:
        assert await store.renew([renewal(claim_id="thief")]) == [None]
        assert (await read(store, "a")).lease == leased.lease

    async def test_a_claim_that_lost_its_record_to_another_cannot_renew(
        self, store: Store, harness: StoreHarness, leased: Record
    ) -> None:
        await write(store, item("a", expected=leased.version, lease=None))
        await harness.settle()
        await store.claim(claim(claim_id="heir"))
        assert await store.renew([renewal()]) == [None]

    async def test_a_record_without_a_lease_is_not_renewed(self, store: Store) -> None:
        await write(store, item("a"))
        assert await store.renew([renewal()]) == [None]

    async def test_a_missing_record_is_not_renewed(self, store: Store, leased: Record) -> None:
        await remove(store, "a", leased.version)
        assert await store.renew([renewal()]) == [None]

    async def test_renewals_are_answered_in_the_order_given(
        self, store: Store, harness: StoreHarness, leased: Record
    ) -> None:
        await write(store, item("b"), item("c"))
        await harness.settle()
        b, c = await store.claim(claim(2, claim_id="holder2"))
        keys = [("c", "holder2"), ("gone", "holder"), ("a", "holder"), ("b", "holder2")]
        answers = await store.renew([renewal(key, claim_id=claim_id) for key, claim_id in keys])
        versions = [None if answer is None else answer.version for answer in answers]
        assert versions == [c.version, None, leased.version, b.version]

    async def test_a_lease_named_twice_in_a_list_is_renewed_twice(
        self, store: Store, leased: Record
    ) -> None:
        twice = [renewal(duration=40 * SECOND), renewal(duration=60 * SECOND)]
        first, second = await store.renew(twice)
        assert first is not None
        assert second is not None
        assert first.version == second.version == leased.version
        assert lease_of(leased).expires < first.expires < second.expires
        assert lease_of(await read(store, "a")).expires == second.expires

    async def test_a_renewal_leaves_a_deadline_that_a_commit_has_set(
        self, store: Store, leased: Record
    ) -> None:
        attributes = {**leased.attributes, "due": "1:a"}
        await write(store, item("a", expected=leased.version, attributes=attributes))
        (renewed,) = await store.renew([renewal(duration=60 * SECOND)])
        assert renewed is not None
        assert (await read(store, "a")).attributes["due"] == "1:a"

    async def test_an_empty_list_of_renewals_has_an_empty_answer(self, store: Store) -> None:
        assert await store.renew([]) == []

    @pytest.mark.parametrize("duration", [0, -1])
    async def test_a_renewal_for_no_time_is_refused(
        self, store: Store, leased: Record, duration: int
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            await store.renew([renewal(), renewal(duration=duration)])
        assert refused.value.field == "duration"
        assert (await read(store, "a")).lease == leased.lease


def lease_of(record: Record) -> Lease:
    """Return the lease of a record that must have one."""
    assert record.lease is not None
    return record.lease
