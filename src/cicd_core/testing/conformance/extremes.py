"""The ends of every range: the largest and the smallest numbers, empty bytes and large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.limits import MAX_DURATION, MAX_INSTANT
from cicd_core.store.records import (
    MAX_RECORD_BYTES,
    Conflict,
    Delete,
    Increment,
    Lease,
    Query,
    Renewal,
)
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    apply,
    claim,
    commit,
    event_of,
    find,
    in_lane,
    item,
    keys_in,
    numbers_in,
    plain,
    read,
    watch,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness

#: Over 53 bits, and odd, so that a double is wrong by one.
LARGE = (MAX_INSTANT, MAX_INSTANT - 2, 2**53 + 1)
#: Empty, a byte, and more than a 16-bit length.
BODIES = pytest.mark.parametrize(
    "body", [b"", b"\0", b"x" * 65536, bytes(range(256)) * (MAX_RECORD_BYTES // 256)], ids=len
)


class ExtremePromises(Suite):
    """Values at the limits are stored exactly, to the last digit and byte."""

    @pytest.mark.parametrize("number", LARGE)
    async def test_a_record_keeps_the_largest_numbers(self, store: Store, number: int) -> None:
        lease = Lease(claim_id="c", granted=0, renewed=number, expires=number, limit=number)
        await write(store, item("a", lease=lease, lease_limit=MAX_DURATION - 1, expires_at=number))
        record = await read(store, "a")
        assert (record.lease, record.lease_limit) == (lease, MAX_DURATION - 1)
        assert record.expires_at == number

    async def test_records_at_the_ends_of_an_index_are_found_by_every_verb(
        self, store: Store, harness: StoreHarness
    ) -> None:
        last = "\U0010ffff"
        ranks = ["\0", "", "\x7f", "\uffff", last, last * 200]  # in order, and a long one
        await write(store, *(item(f"{at}", rank=rank) for at, rank in enumerate(ranks)))
        await harness.settle()
        in_order = [f"{at}" for at in range(len(ranks))]
        assert await keys_in(store, in_lane()) == in_order
        assert await keys_in(store, in_lane(), descending=True) == in_order[::-1]
        assert await numbers_in(store, in_lane()) == [len(ranks)]
        assert await store.wait([watch(in_lane(), after=f"{last}:4")], 0)
        assert not await store.wait([watch(in_lane(), after=f"{last * 200}:5")], 0)
        page = await store.page(Query(partition=in_lane(), limit=9, after=f"{last}:4"))
        assert [record.key for record in page.records] == ["5"]
        mine = claim(len(ranks))
        assert sorted(record.key for record in await store.claim(mine)) == in_order
        assert [record.key for record in await store.claim(mine)] == in_order

    async def test_an_expiry_at_the_epoch_means_expired(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a", expires_at=0))
        await harness.settle()
        assert await find(store, "a") is None
        assert await numbers_in(store, in_lane()) == [0]

    async def test_a_claim_and_a_renewal_may_last_for_the_longest_duration(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a", lease_limit=MAX_DURATION))
        await harness.settle()
        (record,) = await store.claim(claim(claim_id="c", duration=MAX_DURATION - 1))
        lease = record.lease
        assert lease is not None
        assert lease.expires == lease.granted + MAX_DURATION - 1
        assert lease.limit == lease.granted + MAX_DURATION
        longest = Renewal(collection="items", key="a", claim_id="c", duration=MAX_DURATION)
        (renewed,) = await store.renew([longest])
        assert renewed is not None
        assert lease.expires <= renewed.expires <= renewed.limit == lease.limit

    async def test_a_lease_without_any_limit_may_last_to_the_end_of_time(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        (record,) = await store.claim(claim(duration=MAX_DURATION))
        assert record.lease is not None
        assert record.lease.limit == MAX_INSTANT
        assert record.lease.expires == record.lease.granted + MAX_DURATION
        assert (await read(store, "a")).lease == record.lease

    @pytest.mark.parametrize("expected", [1, *LARGE])
    async def test_a_version_that_was_never_given_conflicts(
        self, store: Store, expected: int
    ) -> None:
        await write(store, item("a"))
        assert isinstance(await apply(store, commit(item("a", expected=expected))), Conflict)
        gone = Delete(collection="items", key="a", expected=expected)
        assert isinstance(await apply(store, commit(plain("p"), gone)), Conflict)

    async def test_an_event_keeps_the_ends_of_its_numbers(
        self, store: Store, harness: StoreHarness
    ) -> None:
        ends = [(1, 0), (1, MAX_INSTANT), *((number, number) for number in sorted(LARGE))]
        events = [event_of("b", ordinal, version=version) for version, ordinal in ends]
        await write(store, item("a"), events=events)
        await harness.settle()
        log = await whole_log(store)
        assert [(entry.version, entry.ordinal) for entry in log] == ends

    async def test_counters_keep_the_ends_of_their_amounts(
        self, store: Store, harness: StoreHarness
    ) -> None:
        amounts = {f"n{number}": number for number in (*LARGE, *(-one for one in LARGE))}
        increments = [Increment(name, amount) for name, amount in amounts.items()]
        await write(store, plain("p"), increments=increments)
        turns = [Increment("up", MAX_INSTANT)] * 3 + [Increment("down", -MAX_INSTANT)] * 3
        await write(store, plain("q"), increments=[*turns, Increment("down", 1)])
        await harness.settle()
        expected = {**amounts, "up": 3 * MAX_INSTANT, "down": 1 - 3 * MAX_INSTANT}
        assert dict((await store.counters("")).values) == expected

    async def test_a_counter_whose_sum_is_0_counts_as_absent(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, plain("p"), increments=[Increment("n", 5), Increment("n", -5)])
        await write(store, plain("q"), increments=[Increment("m", 0)])
        await harness.settle()
        values = (await store.counters("")).values
        assert {name: total for name, total in values.items() if total} == {}
        await write(store, plain("r"), increments=[Increment("n", 1)])
        await harness.settle()
        assert (await store.counters("n")).values["n"] == 1

    @BODIES
    async def test_a_grant_is_kept_to_its_last_byte(
        self, store: Store, harness: StoreHarness, body: bytes
    ) -> None:
        await write(store, item("a", body=b""))
        await harness.settle()
        mine = claim(grant=body)
        (record,) = await store.claim(mine)
        assert record.grant == body
        assert (await read(store, "a")).grant == body
        assert [again.grant for again in await store.claim(mine)] == [body]

    @BODIES
    async def test_an_events_body_is_kept_to_its_last_byte(
        self, store: Store, harness: StoreHarness, body: bytes
    ) -> None:
        await write(store, item("a", body=b""), events=[event_of("a", body=body), event_of("a", 1)])
        await harness.settle()
        assert [entry.body for entry in await whole_log(store)] == [body, b""]
