"""Effects of commits on a claim's lease and grant, and guards against them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.store.records import Committed, Conflict, Delete, Guard, Lease, Renewal
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    find,
    item,
    plain,
    read,
    write,
)
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Put, Record
    from cicd_core.testing.clock import VirtualClock
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness


class LeasePromises(Suite):
    """Commits over a claimed record."""

    @pytest.fixture
    async def held(self, store: Store, harness: StoreHarness) -> Record:
        """Item "a", claimed by "holder" for 30 seconds."""
        await write(store, item("a"))
        await harness.settle()
        (record,) = await store.claim(claim(claim_id="holder"))
        return record

    async def test_a_commit_clears_the_grant_and_keeps_the_lease(
        self, store: Store, held: Record
    ) -> None:
        assert (held.grant, held.lease is None) == (b"granted", False)
        await write(store, item("a", expected=held.version, lane=None))
        record = await read(store, "a")
        assert (record.version, record.grant, record.lease) == (held.version + 1, None, held.lease)

    async def test_a_commit_may_clear_the_lease(self, store: Store, held: Record) -> None:
        await write(store, item("a", expected=held.version, lease=None))
        assert (await read(store, "a")).lease is None
        renewal = Renewal(collection="items", key="a", claim_id="holder", duration=SECOND)
        assert await store.renew([renewal]) == [None]

    async def test_a_commit_may_set_a_lease(self, store: Store) -> None:
        lease = await lease_for(store, "worker", 5 * SECOND, limit=60 * SECOND)
        await write(store, item("a", lease=lease))
        assert (await read(store, "a")).lease == lease
        renewal = Renewal(collection="items", key="a", claim_id="worker", duration=9 * SECOND)
        (renewed,) = await store.renew([renewal])
        assert renewed is not None
        assert renewed.expires > lease.expires

    async def test_a_commit_keeps_the_lease_that_was_set(self, store: Store) -> None:
        lease = await lease_for(store, "worker", 5 * SECOND)
        version = (await write(store, item("a", lease=lease)))["a"]
        await write(store, item("a", expected=version))
        assert (await read(store, "a")).lease == lease

    async def test_a_lease_of_the_same_claim_never_moves_back(
        self, store: Store, held: Record
    ) -> None:
        assert held.lease is not None
        sooner = await lease_for(store, "holder", SECOND, limit=45 * SECOND)
        await write(store, item("a", expected=held.version, lease=sooner))
        lease = (await read(store, "a")).lease
        assert lease is not None
        assert (lease.expires, lease.limit) == (held.lease.expires, sooner.limit)

    async def test_a_lease_of_the_same_claim_ends_at_its_new_limit(
        self, store: Store, held: Record
    ) -> None:
        assert held.lease is not None
        shorter = await lease_for(store, "holder", SECOND, limit=3 * SECOND)
        await write(store, item("a", expected=held.version, lease=shorter))
        lease = (await read(store, "a")).lease
        assert lease is not None
        assert lease.expires == lease.limit == shorter.limit < held.lease.expires

    async def test_a_lease_of_the_same_claim_keeps_the_last_sign_of_life(
        self, store: Store, held: Record
    ) -> None:
        assert held.lease is not None
        later = await lease_for(store, "holder", 60 * SECOND)
        stale = evolve(later, renewed=held.lease.renewed - 1)
        await write(store, item("a", expected=held.version, lease=stale))
        lease = (await read(store, "a")).lease
        assert lease is not None
        assert (lease.renewed, lease.expires) == (held.lease.renewed, later.expires)

    async def test_a_lease_that_would_outlast_its_limit_is_refused(self, store: Store) -> None:
        endless = await lease_for(store, "holder", 60 * SECOND, limit=59 * SECOND)
        with pytest.raises(InvalidInput) as refused:
            await write(store, item("a", lease=endless))
        assert refused.value.field == "lease.expires"
        assert await find(store, "a") is None

    async def test_a_lease_of_the_same_claim_moves_forward(
        self, store: Store, held: Record
    ) -> None:
        later = await lease_for(store, "holder", 60 * SECOND)
        await write(store, item("a", expected=held.version, lease=later))
        assert (await read(store, "a")).lease == later

    async def test_a_lease_of_another_claim_is_set_as_it_is(
        self, store: Store, held: Record
    ) -> None:
        sooner = await lease_for(store, "heir", SECOND)
        await write(store, item("a", expected=held.version, lease=sooner))
        assert (await read(store, "a")).lease == sooner

    async def test_a_commit_keeps_a_lease_that_has_expired(
        self, store: Store, clock: StoreClock
    ) -> None:
        lease = await lease_for(store, "holder", clock.brief, limit=60 * SECOND)
        version = (await write(store, item("a", lease=lease)))["a"]
        await clock.outlast(lease)
        await write(store, item("a", expected=version, body=b"written over it"))
        assert (await read(store, "a")).lease == lease
        renewal = Renewal(collection="items", key="a", claim_id="holder", duration=9 * SECOND)
        (renewed,) = await store.renew([renewal])
        assert renewed is not None
        assert renewed.version == version + 1

    async def test_a_recreated_record_has_no_lease(self, store: Store, held: Record) -> None:
        delete = Delete(collection="items", key="a", expected=held.version)
        await write(store, plain("p"), delete)
        await write(store, item("a"))
        record = await read(store, "a")
        assert (record.lease, record.grant) == (None, None)


class GuardPromises(Suite):
    """The guard ``lease_expired``: a renewal before the write wins."""

    @pytest.fixture
    async def held_at(self, store: Store) -> int:
        """The version of item "a", which "holder" leases for a long time."""
        lease = await lease_for(store, "holder", 30 * SECOND, limit=60 * SECOND)
        return (await write(store, item("a", lease=lease)))["a"]

    @pytest.fixture
    async def expired_at(self, store: Store, clock: StoreClock) -> int:
        """The version of item "a", whose lease "holder" let expire."""
        lease = await lease_for(store, "holder", clock.brief, limit=60 * SECOND)
        version = (await write(store, item("a", lease=lease)))["a"]
        await clock.outlast(lease)
        return version

    async def test_a_guarded_write_conflicts_while_the_lease_holds(
        self, store: Store, held_at: int
    ) -> None:
        assert await apply(store, commit(guarded(held_at))) == Conflict((("items", "a"),))
        assert (await read(store, "a")).version == held_at

    async def test_a_lease_still_holds_at_its_last_microsecond(
        self, store: Store, exact_clock: VirtualClock, held_at: int
    ) -> None:
        exact_clock.advance(30)
        assert isinstance(await apply(store, commit(guarded(held_at))), Conflict)

    async def test_a_guarded_write_is_applied_once_the_lease_has_expired(
        self, store: Store, expired_at: int
    ) -> None:
        assert isinstance(await apply(store, commit(guarded(expired_at))), Committed)
        assert (await read(store, "a")).lease is None

    async def test_a_guard_adds_the_uncertainty_of_the_clock(
        self, store: Store, clock: StoreClock
    ) -> None:
        lease = await lease_for(store, "holder", clock.brief, limit=60 * SECOND)
        version = (await write(store, item("a", lease=lease)))["a"]
        await clock.reach(lease.expires + 1)
        answer = await apply(store, commit(guarded(version)))
        now = await store.now()
        if isinstance(answer, Committed):
            assert now.micros - now.uncertainty > lease.expires, "it was taken away too early"
            return
        await clock.outlast(lease)
        assert isinstance(await apply(store, commit(guarded(version))), Committed)

    async def test_a_guarded_write_conflicts_after_a_renewal(
        self, store: Store, expired_at: int
    ) -> None:
        renewal = Renewal(collection="items", key="a", claim_id="holder", duration=10 * SECOND)
        await store.renew([renewal])
        assert isinstance(await apply(store, commit(guarded(expired_at))), Conflict)

    async def test_a_guarded_write_without_a_lease_is_applied(self, store: Store) -> None:
        version = (await write(store, item("a")))["a"]
        assert isinstance(await apply(store, commit(guarded(version))), Committed)

    async def test_a_guarded_write_without_a_record_is_applied(self, store: Store) -> None:
        assert isinstance(await apply(store, commit(guarded(0))), Committed)

    async def test_a_guard_does_not_replace_the_version(self, store: Store) -> None:
        version = (await write(store, item("a")))["a"]
        assert isinstance(await apply(store, commit(guarded(version + 1))), Conflict)

    async def test_a_delete_may_be_guarded_too(
        self, store: Store, clock: StoreClock, held_at: int
    ) -> None:
        early = Delete(collection="items", key="a", expected=held_at, guard=Guard.LEASE_EXPIRED)
        assert await apply(store, commit(plain("p"), early)) == Conflict((("items", "a"),))
        assert await find(store, "p", "plain") is None
        lease = await lease_for(store, "heir", clock.brief)
        version = (await write(store, item("a", expected=held_at, lease=lease)))["a"]
        await clock.outlast(lease)
        await write(store, plain("p"), evolve(early, expected=version))
        assert await find(store, "a") is None


def guarded(expected: int) -> Put:
    """Return a write of item "a" that takes its lease away, if it has expired."""
    return item("a", expected=expected, lease=None, guard=Guard.LEASE_EXPIRED)


async def lease_for(store: Store, claim_id: str, duration: int, *, limit: int = 10**9) -> Lease:
    """Return a lease that starts now; its limit counts from now too."""
    now = (await store.now()).micros
    return Lease(
        claim_id=claim_id, granted=now, renewed=now, expires=now + duration, limit=now + limit
    )
