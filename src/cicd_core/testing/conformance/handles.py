"""Several handles on the same data: each sees the writes of the others at once."""

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
    find,
    in_lane,
    item,
    keys_in,
    numbers_in,
    read,
    remove,
    watch,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness


class HandlePromises(Suite):
    """No cache of a handle is older than an answer of another handle."""

    async def test_a_record_that_other_handles_recreate_never_has_a_version_twice(
        self, crew: list[Store]
    ) -> None:
        versions: list[int] = []
        for turn in range(6):  # faster than a clock that stands still
            made = (await write(crew[turn % 2], item("a")))["a"]
            updated = (await write(crew[2], item("a", expected=made)))["a"]
            versions += [made, updated]
            await remove(crew[(turn + 1) % 4], "a", updated)
        assert versions == sorted(set(versions))

    async def test_a_handle_sees_a_later_write_of_another_handle(
        self, crew: list[Store], harness: StoreHarness
    ) -> None:
        reader, writer = crew[1], crew[2]
        version, cursor = 0, (await reader.read_log(None, 10)).cursor
        for turn in range(1, 4):
            put = item("a", expected=version, lane=f"lane{turn}", body=b"%d" % turn)
            version = (
                await write(writer, put, events=[event_of("a", turn)], increments=[Increment("n")])
            )["a"]
            await harness.settle()
            assert (await read(reader, "a")).body == b"%d" % turn
            lanes = [in_lane(f"lane{one}") for one in (turn - 1, turn)]
            assert await numbers_in(reader, *lanes) == [0, 1]
            assert [await keys_in(reader, lane) for lane in lanes] == [[], ["a"]]
            page = await reader.read_log(cursor, 10)
            assert [entry.ordinal for entry in page.entries] == [turn]
            cursor = page.cursor
            assert (await reader.read_log(cursor, 10)).entries == ()
            assert (await reader.counters("n")).values["n"] == turn
        await remove(writer, "a", version)
        await harness.settle()
        assert await find(reader, "a") is None
        assert await numbers_in(reader, in_lane("lane3")) == [0]

    async def test_a_claim_is_renewed_and_repeated_through_any_handle(
        self, crew: list[Store], harness: StoreHarness
    ) -> None:
        await write(crew[0], item("a"))
        await harness.settle()
        mine = claim(claim_id="c")
        taken = await crew[1].claim(mine)
        renewal = Renewal(collection="items", key="a", claim_id="c", duration=60 * SECOND)
        (renewed,) = await crew[2].renew([renewal])
        assert renewed is not None
        assert renewed.version == taken[0].version
        (again,) = await crew[3].claim(mine)
        assert again.lease is not None
        assert (again.version, again.lease.expires) == (renewed.version, renewed.expires)

    async def test_a_handle_claims_from_a_lane_that_it_saw_empty(
        self, crew: list[Store], harness: StoreHarness
    ) -> None:
        reader, writer = crew[1], crew[2]
        for key in "ab":
            assert await reader.claim(claim()) == []
            assert not await reader.wait([watch(in_lane())], 0)
            await write(writer, item(key))
            await harness.settle()
            assert await reader.wait([watch(in_lane())], 0)
            assert [record.key for record in await reader.claim(claim())] == [key]
            await harness.settle()

    async def test_a_commit_is_recognised_by_any_handle(self, crew: list[Store]) -> None:
        one = commit(item("a"), events=[event_of("a")], increments=[Increment("n")])
        answer = await apply(crew[0], one)
        assert [await apply(member, one) for member in crew] == [answer] * len(crew)
