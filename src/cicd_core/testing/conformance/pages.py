"""Pages: records of a partition, in order, from which a reader can continue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.store.records import Index, Query
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    BY_STATE,
    SECOND,
    claim,
    in_lane,
    in_state,
    item,
    keys_in,
    note,
    numbers_in,
    on_shelf,
    place_of,
    plain,
    read,
    remove,
    watch,
    write,
)
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import RecordPage
    from cicd_core.testing.harness import StoreHarness

LETTERS = "abcdefghij"
#: Texts in the order of their code points. UTF-16 and most locales have another one.
IN_ORDER = (
    *("\0", " ", "10", "2", "A", "B", "_", "a", "a\0", "a ", "aa", "b", "\x7f", "\xe9"),
    *("\uffff", "\U00010000"),
)


def keys(page: RecordPage) -> str:
    """Return the keys on a page, each a letter, in order."""
    return "".join(record.key for record in page.records)


async def shelf(
    store: Store, after: str | None = None, before: str | None = None, **rest: Any
) -> RecordPage:
    """Return a page of the shelf "top"; the bounds are keys, or prefixes of keys."""
    words: dict[str, Any] = {
        "partition": on_shelf(),
        "limit": 100,
        "after": after and place_of(after),
        "before": before and place_of(before),
        **rest,
    }
    return await store.page(Query(**words))


class PagePromises(Suite):
    """Order, bounds and ends."""

    @pytest.fixture
    async def filled(self, store: Store, harness: StoreHarness) -> dict[str, int]:
        """The versions of ten notes on the shelf "top", "a" to "j"."""
        versions = await write(store, *(note(letter) for letter in "fbjdhacgei"))
        await harness.settle()
        return versions

    async def test_a_page_is_in_order(self, store: Store, filled: dict[str, int]) -> None:
        assert keys(await shelf(store)) == LETTERS

    async def test_a_page_may_be_in_descending_order(
        self, store: Store, filled: dict[str, int]
    ) -> None:
        assert keys(await shelf(store, descending=True)) == LETTERS[::-1]

    async def test_a_page_has_no_more_than_its_limit(
        self, store: Store, filled: dict[str, int]
    ) -> None:
        page = await shelf(store, limit=3)
        assert (keys(page), page.more) == ("abc", True)
        page = await shelf(store, limit=3, descending=True)
        assert (keys(page), page.more) == ("jih", True)

    @pytest.mark.parametrize("limit", [10, 11, 1000])
    async def test_the_last_page_states_that_there_are_no_more(
        self, store: Store, filled: dict[str, int], limit: int
    ) -> None:
        page = await shelf(store, limit=limit)
        assert (keys(page), page.more) == (LETTERS, False)

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize(
        ("after", "before", "expected"),
        [
            ("c", None, "defghij"),
            (None, "d", "abc"),
            ("b", "f", "cde"),
            ("c", "d", ""),
            ("d", "c", ""),
            ("", None, LETTERS),
            ("j", None, ""),
            (None, "a", ""),
            ("cc", "dd", "d"),
            ("c\0", None, "defghij"),
            (None, "c\0", "abc"),
            (None, "", ""),
        ],
    )
    async def test_the_bounds_of_a_page_are_exclusive(
        self,
        store: Store,
        filled: dict[str, int],
        after: str | None,
        before: str | None,
        expected: str,
        descending: bool,
    ) -> None:
        page = await shelf(store, after=after, before=before, descending=descending)
        assert keys(page) == (expected[::-1] if descending else expected)

    @pytest.mark.parametrize("limit", [1, 3, 10])
    async def test_pages_that_follow_each_other_show_each_record_once(
        self, store: Store, filled: dict[str, int], limit: int
    ) -> None:
        page = await shelf(store, limit=limit)
        seen = keys(page)
        while page.more:
            page = await shelf(store, limit=limit, after=seen[-1])
            seen += keys(page)
        assert seen == LETTERS

    async def test_pages_backwards_show_each_record_once(
        self, store: Store, filled: dict[str, int]
    ) -> None:
        page = await shelf(store, limit=4, descending=True)
        seen = keys(page)
        while page.more:
            page = await shelf(store, limit=4, descending=True, before=seen[-1])
            seen += keys(page)
        assert seen == LETTERS[::-1]

    async def test_writes_between_pages_do_not_move_other_records(
        self, store: Store, harness: StoreHarness, filled: dict[str, int]
    ) -> None:
        seen = keys(await shelf(store, limit=4))
        for key in "abg":  # two that were read, and one that was not
            await remove(store, key, filled[key], "side-notes")
        await write(store, note("bb"), note("f", expected=filled["f"], body=b"new"))
        await harness.settle()
        seen += keys(await shelf(store, after=seen[-1]))
        assert seen == "abcdefhij"

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("is_moved", [False, True])
    async def test_a_page_follows_one_whose_last_record_has_gone(
        self,
        store: Store,
        harness: StoreHarness,
        filled: dict[str, int],
        descending: bool,
        is_moved: bool,
    ) -> None:
        letters = LETTERS[:: -1 if descending else 1]
        first = await shelf(store, limit=4, descending=descending)
        last = keys(first)[-1]
        if is_moved:
            await write(store, note(last, expected=filled[last], shelf="bottom"))
        else:
            await remove(store, last, filled[last], "side-notes")
        await harness.settle()
        bound = {"before" if descending else "after": last}
        rest = await shelf(store, descending=descending, **bound)
        assert keys(first) + keys(rest) == letters

    async def test_a_page_shows_a_held_record_as_get_reads_it(
        self, store: Store, harness: StoreHarness
    ) -> None:
        ends = (await store.now()).micros + 3600 * SECOND
        fields: dict[str, Any] = {"lease_limit": 90 * SECOND, "expires_at": ends}
        await write(store, item("a", **fields), item("b", **fields))
        await harness.settle()
        await store.claim(claim(2, grant=b"mine"))
        await harness.settle()
        page = await store.page(Query(partition=in_state("held"), limit=9))
        assert {record.key: record for record in page.records} == await store.get(
            "items", ["a", "b"]
        )

    async def test_a_page_shows_what_get_reads(self, store: Store, filled: dict[str, int]) -> None:
        for record in (await shelf(store, limit=3)).records:
            assert record == await read(store, record.key, "side-notes")

    async def test_a_partition_without_records_is_an_empty_page(self, store: Store) -> None:
        page = await shelf(store, partition=on_shelf("bare"))
        assert (page.records, page.more) == ((), False)

    async def test_sort_values_are_compared_by_code_points(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, *(note(key) for key in reversed(IN_ORDER)))
        await harness.settle()
        assert await keys_in(store, on_shelf()) == list(IN_ORDER)
        assert await keys_in(store, on_shelf(), descending=True) == list(reversed(IN_ORDER))

    @pytest.mark.parametrize(
        ("field", "wrong"),
        [
            ("limit", {"limit": 0}),
            ("limit", {"limit": 1001}),
            ("index", {"partition": evolve(on_shelf(), index=Index("shelf", "height"))}),
            ("collection", {"partition": evolve(on_shelf(), collection="jobz")}),
            ("partition", {"partition": on_shelf("")}),
            ("after", {"after": "\ud800"}),
        ],
        ids=str,
    )
    async def test_a_malformed_query_is_refused(
        self, store: Store, field: str, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            await shelf(store, **wrong)
        assert refused.value.field == field


class IndexPromises(Suite):
    """A record is in an index while it has the partition attribute."""

    async def test_a_record_without_the_partition_attribute_is_in_no_partition(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("in"), item("out", lane=None))
        await harness.settle()
        assert await keys_in(store, in_lane()) == ["in"]
        assert await keys_in(store, in_state("new")) == ["in", "out"]

    async def test_a_record_moves_with_its_attributes(
        self, store: Store, harness: StoreHarness
    ) -> None:
        at = await write(store, item("a"), item("b"))
        at |= await write(store, item("a", expected=at["a"], lane="other"))
        at |= await write(store, item("b", expected=at["b"], rank="9"))
        await write(store, item("c", rank="7"))
        await harness.settle()
        assert await keys_in(store, in_lane()) == ["c", "b"]
        assert await keys_in(store, in_lane("other")) == ["a"]

    async def test_a_record_that_was_removed_is_in_no_partition(
        self, store: Store, harness: StoreHarness
    ) -> None:
        version = (await write(store, item("a")))["a"]
        await remove(store, "a", version)
        await harness.settle()
        assert await keys_in(store, in_lane()) == await keys_in(store, in_state("new")) == []

    async def test_a_record_without_the_sort_attribute_is_not_in_the_index(
        self, store: Store, harness: StoreHarness
    ) -> None:
        """A patch may name a partition of an index even if the record lacks its sort attribute."""
        attributes = {"lane": "main", "rank": "1:a"}
        await write(store, item("a", attributes=attributes), item("b", rank="2"))
        await harness.settle()
        taken = await store.claim(claim(2, patch={"lane": None, "state": "held"}))
        assert {record.attributes["state"] for record in taken} == {"held"}
        await harness.settle()
        held = in_state("held")
        assert await keys_in(store, held) == ["b"]
        assert await numbers_in(store, held) == [1]
        assert not await store.wait([watch(held, after="0:b")], 0)
        rest = evolve(claim(9, lanes=["held"], patch={"state": None}), index=BY_STATE)
        assert [record.key for record in await store.claim(rest)] == ["b"]
        await harness.settle()
        assert await keys_in(store, held) == []
        assert not await store.wait([watch(held)], 0)

    async def test_a_claimed_record_is_in_the_partitions_of_its_patch(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        await store.claim(claim(patch={"lane": "other", "state": None}))
        await harness.settle()
        assert await keys_in(store, in_lane()) == await keys_in(store, in_state("new")) == []
        assert await keys_in(store, in_lane("other")) == ["a"]

    async def test_similar_values_are_different_partitions(
        self, store: Store, harness: StoreHarness
    ) -> None:
        for shelf_name in ("a", "A", "a\0", "a ", "a:b", "a%"):
            await write(store, note(f"on {shelf_name}", shelf=shelf_name))
        await write(store, plain("p"))
        await harness.settle()
        for shelf_name in ("a", "A", "a\0", "a ", "a:b", "a%"):
            assert await keys_in(store, on_shelf(shelf_name)) == [f"on {shelf_name}"]
