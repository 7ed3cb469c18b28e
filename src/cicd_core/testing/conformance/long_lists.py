"""Long lists: every list within the limits is answered completely, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.store.records import Committed, Increment, Query, Renewal
from cicd_core.testing.conformance.log import version_of
from cicd_core.testing.conformance.suite import Suite, require
from cicd_core.testing.harness import Capability
from cicd_core.testing.samples import (
    SECOND,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    numbers_in,
    watch,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness

#: More than servers and drivers usually accept in one piece.
MANY = 600
#: The maximum of the library's own limits for one call.
MOST = 1000


class LongListPromises(Suite):
    """Long lists, verb by verb."""

    @pytest.fixture
    async def many(self, store: Store, harness: StoreHarness) -> list[str]:
        """The keys of 600 items in one lane, in this order."""
        keys = [f"k{number:03}" for number in range(MANY)]
        await store.commit([commit(*map(item, keys[at : at + 20])) for at in range(0, MANY, 20)])
        await harness.settle()
        return keys

    async def test_a_list_of_two_hundred_commits_is_answered_in_order(self, store: Store) -> None:
        await commit_one_by_one(store, 200)

    async def test_a_list_of_six_hundred_commits_is_answered_in_order(self, store: Store) -> None:
        await commit_one_by_one(store, MANY)

    async def test_get_answers_every_key_of_a_long_list(
        self, store: Store, many: list[str]
    ) -> None:
        absent = [f"absent{number}" for number in range(MOST - MANY)]
        found = await store.get("items", [*absent, *many])
        assert sorted(found) == many

    async def test_a_page_of_a_thousand_shows_all_records(
        self, store: Store, many: list[str]
    ) -> None:
        for descending in (False, True):
            query = Query(partition=in_lane(), limit=MOST, descending=descending)
            page = await store.page(query)
            assert [record.key for record in page.records] == many[:: -1 if descending else 1]
            assert not page.more

    async def test_a_long_claim_takes_all_records_and_is_repeated_completely(
        self, store: Store, many: list[str]
    ) -> None:
        mine = claim(MOST)
        taken = [record.key for record in await store.claim(mine)]
        assert sorted(taken) == many
        assert [record.key for record in await store.claim(mine)] == many

    async def test_every_renewal_of_a_long_list_is_answered(
        self, store: Store, many: list[str]
    ) -> None:
        mine = claim(MOST)
        held = {record.key: record.version for record in await store.claim(mine)}
        keys = ["gone", *reversed(many), "gone"]
        answers = await store.renew(
            [
                Renewal(collection="items", key=key, claim_id=mine.claim_id, duration=60 * SECOND)
                for key in keys
            ]
        )
        versions = [answer and answer.version for answer in answers]
        assert versions == [held.get(key) for key in keys]

    @pytest.mark.parametrize("number", [256, MOST])
    async def test_a_claim_may_name_as_many_partitions_as_a_pool_has_lanes(
        self, store: Store, harness: StoreHarness, number: int
    ) -> None:
        lanes = [f"lane{one:04}" for one in range(number)]
        puts = [("c", 0, "1"), ("b", number // 2, "2"), ("a", number - 1, "3")]
        await write(store, *(item(key, lane=lanes[at], rank=rank) for key, at, rank in puts))
        await harness.settle()
        taken = [record.key for record in await store.claim(claim(3, lanes=lanes))]
        assert sorted(taken) == ["a", "b", "c"]
        if Capability.STRICT_ORDER in harness.capabilities:
            assert taken == ["c", "b", "a"]

    async def test_a_claim_of_many_partitions_takes_the_smallest_of_the_last(
        self, store: Store, harness: StoreHarness
    ) -> None:
        require(harness, Capability.STRICT_ORDER)
        lanes = [f"lane{one:04}" for one in range(MOST)]
        await write(store, *(item(f"k{at}", lane=lanes[at], rank="5") for at in range(0, 1000, 50)))
        await write(store, item("first", lane=lanes[-1], rank="1"))
        taken = await store.claim(claim(1, lanes=lanes))
        assert [record.key for record in taken] == ["first"]

    async def test_every_partition_of_a_long_list_is_counted(
        self, store: Store, harness: StoreHarness
    ) -> None:
        at = range(0, MOST, 111)
        await write(store, *(item(f"k{one}", lane=f"lane{one}") for one in at))
        await harness.settle()
        lanes = [in_lane(f"lane{one}") for one in range(MOST)]
        assert await numbers_in(store, *lanes) == [int(one in at) for one in range(MOST)]

    async def test_the_last_watch_of_a_long_list_wakes(
        self, store: Store, harness: StoreHarness
    ) -> None:
        watches = [watch(in_lane(f"lane{one}")) for one in range(256)]
        assert not await store.wait(watches, 0)
        await write(store, item("a", lane="lane255"))
        await harness.settle()
        with anyio.fail_after(harness.patience):
            assert await store.wait(watches, 3600)

    async def test_a_long_log_is_read_completely_with_any_page_size(
        self, store: Store, harness: StoreHarness
    ) -> None:
        for number in range(3):
            events = [event_of("a", 400 * number + one) for one in range(400)]
            await write(store, item("a", expected=await version_of(store)), events=events)
        await harness.settle()
        for step in (MOST, 399):
            log = await whole_log(store, step)
            assert [entry.ordinal for entry in log] == list(range(1200))

    async def test_a_commit_may_have_five_hundred_events_and_increments(
        self, store: Store, harness: StoreHarness
    ) -> None:
        events = [event_of("a", ordinal) for ordinal in range(500)]
        increments = [Increment(f"n|{one % 300}") for one in range(500)]
        await write(store, item("a"), events=events, increments=increments)
        await harness.settle()
        log = await whole_log(store)
        assert [entry.ordinal for entry in log] == list(range(500))
        values = (await store.counters("n|")).values
        assert dict(values) == {f"n|{one}": 1 + (one < 200) for one in range(300)}


async def commit_one_by_one(store: Store, number: int) -> None:
    """Commit a long list, and check that each answer is in its place."""
    commits = [commit(item(f"k{one}")) for one in range(number)]
    answers = await store.commit(commits)
    subjects = [list(answer.versions) for answer in answers if isinstance(answer, Committed)]
    assert subjects == [[("items", f"k{one}")] for one in range(number)]
