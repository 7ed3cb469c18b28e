"""A stale owner, which has lost its record: none of its calls has an effect (I8)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.store.records import Committed, Conflict, Delete, Guard, Increment, Renewal
from cicd_core.testing.conformance.crew import at_once
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    find,
    item,
    plain,
    read,
    remove,
    whole_log,
    write,
)
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Commit, Put, Record
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness

CONFLICT = Conflict((("items", "a"),))


def _put(stale: Record, **fields: Any) -> Put:
    return item("a", expected=stale.version, lane=None, **fields)


#: The writes of a stale owner, by purpose.
ATTEMPTS: dict[str, Callable[[Record], list[Put | Delete]]] = {
    "to complete": lambda stale: [_put(stale, lease=None, body=b"late")],
    "to report progress": lambda stale: [_put(stale, body=b"half")],
    "to start again": lambda stale: [_put(stale, lease=stale.lease)],
    "to give it back": lambda stale: [item("a", expected=stale.version, lease=None)],
    "to reap it": lambda stale: [_put(stale, lease=None, guard=Guard.LEASE_EXPIRED)],
    "to remove it": lambda stale: [
        plain("beside"),
        Delete(collection="items", key="a", expected=stale.version),
    ],
    "to make it": lambda _: [item("a")],
    "to write something else too": lambda stale: [plain("beside"), _put(stale)],
}


@frozen
class Owners:
    """Item "a", its stale owner, whose lease expired, and its current owner."""

    #: The stale owner has its own store, as in another process.
    stale_store: Store
    stale_claim: Claim
    #: The record as the stale owner read it.
    stale: Record
    #: The stale owner's last commit that was applied.
    last_commit: Commit
    #: The record as the current owner got it.
    now: Record


class StaleOwnerPromises(Suite):
    """Every verb, called by the stale owner while the new owner works."""

    @pytest.fixture
    async def owners(
        self, store: Store, clock: StoreClock, harness: StoreHarness, crew: list[Store]
    ) -> Owners:
        """Item "a": claimed, started, requeued by a reaper, and claimed by "heir"."""
        await write(store, item("a"))
        await harness.settle()
        mine = claim(claim_id="stale", duration=clock.brief)
        (held,) = await crew[1].claim(mine)
        begun = commit(item("a", expected=held.version, lane=None, body=b"begun"))
        assert isinstance(await apply(crew[1], begun), Committed)
        stale = await read(crew[1], "a")
        assert stale.lease is not None
        await clock.outlast(stale.lease)
        back = item("a", expected=stale.version, lease=None, guard=Guard.LEASE_EXPIRED)
        await write(store, back)
        await harness.settle()
        (record,) = await store.claim(claim(claim_id="heir"))
        return Owners(crew[1], mine, stale, begun, record)

    @pytest.mark.parametrize("attempt", ATTEMPTS)
    async def test_a_stale_owner_commits_nothing(
        self, store: Store, harness: StoreHarness, owners: Owners, attempt: str
    ) -> None:
        late = commit(
            *ATTEMPTS[attempt](owners.stale),
            events=[event_of("a", 9, version=owners.stale.version + 1)],
            increments=[Increment("n")],
        )
        assert await apply(owners.stale_store, late) == CONFLICT
        assert await find(store, "beside", "plain") is None
        await new_owner_finishes(store, harness, owners)

    async def test_a_stale_owners_last_commit_is_not_applied_again(
        self, store: Store, harness: StoreHarness, owners: Owners
    ) -> None:
        assert await apply(owners.stale_store, owners.last_commit) == CONFLICT
        await new_owner_finishes(store, harness, owners)

    async def test_a_stale_owner_renews_nothing(
        self, store: Store, harness: StoreHarness, owners: Owners
    ) -> None:
        assert await owners.stale_store.renew([renewal("stale")]) == [None]
        await new_owner_finishes(store, harness, owners)

    async def test_a_stale_owners_renewal_does_not_affect_the_others_in_its_list(
        self, store: Store, owners: Owners
    ) -> None:
        both = [renewal("stale"), renewal("heir"), renewal("stale")]
        first, second, third = await owners.stale_store.renew(both)
        assert (first, third) == (None, None)
        assert second is not None
        assert second.version == owners.now.version

    async def test_a_stale_owners_repeated_claim_leaves_out_lost_records(
        self, store: Store, harness: StoreHarness, owners: Owners
    ) -> None:
        assert await owners.stale_store.claim(owners.stale_claim) == []
        await write(store, item("b"))
        await harness.settle()
        again = await owners.stale_store.claim(evolve(owners.stale_claim, limit=5))
        assert "a" not in [record.key for record in again]
        await new_owner_finishes(store, harness, owners)

    async def test_a_stale_owner_cannot_change_a_recreated_record(
        self, store: Store, owners: Owners
    ) -> None:
        await remove(store, "a", owners.now.version)
        await write(store, item("a", body=b"another"))
        anew = await read(store, "a")
        assert await owners.stale_store.renew([renewal("stale")]) == [None]
        for attempt in ATTEMPTS.values():
            answer = await apply(owners.stale_store, commit(*attempt(owners.stale)))
            assert answer == CONFLICT
        assert await read(store, "a") == anew

    async def test_stale_owners_do_not_disturb_the_new_owner_while_it_works(
        self, store: Store, harness: StoreHarness, crew: list[Store], owners: Owners
    ) -> None:
        version = owners.now.version

        async def work() -> None:
            nonlocal version
            for step in range(8):
                (renewed,) = await crew[0].renew([renewal("heir")])
                assert renewed is not None
                assert renewed.version == version
                put = item("a", expected=version, lane=None, body=b"step %d" % step)
                version = (await write(crew[0], put, events=[event_of("a")]))["a"]

        async def disturb(mine: Store) -> None:
            for attempt in ATTEMPTS.values():
                assert await apply(mine, commit(*attempt(owners.stale))) == CONFLICT
                assert await mine.renew([renewal("stale")]) == [None]
                assert await mine.claim(owners.stale_claim) == []

        await at_once(work, *(partial(disturb, mine) for mine in crew[1:]))
        await harness.settle()
        record = await read(store, "a")
        assert (record.version, record.body) == (owners.now.version + 8, b"step 7")
        assert record.lease is not None
        assert record.lease.claim_id == "heir"
        assert len(await whole_log(store)) == 8


def renewal(claim_id: str) -> Renewal:
    """Return the renewal of a lease on item "a"."""
    return Renewal(collection="items", key="a", claim_id=claim_id, duration=60 * SECOND)


async def new_owner_finishes(store: Store, harness: StoreHarness, owners: Owners) -> None:
    """Check that the new owner's record is unchanged, and that its work succeeds."""
    assert await read(store, "a") == owners.now
    (renewed,) = await store.renew([renewal("heir")])
    assert renewed is not None
    put = item("a", expected=owners.now.version, lane=None, lease=None, body=b"done")
    at = await write(store, put, events=[event_of("a")])
    await harness.settle()
    assert [entry.version for entry in await whole_log(store)] == [at["a"]]
    assert (await store.counters("n")).values.get("n", 0) == 0
