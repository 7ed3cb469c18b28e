"""Records: body, key, version and retention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.store import contract
from cicd_core.store.records import (
    MAX_KEY_BYTES,
    MAX_RECORD_BYTES,
    Committed,
    Conflict,
    Delete,
    Query,
    Renewal,
)
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.harness import checked
from cicd_core.testing.samples import (
    ITEMS,
    NOTES,
    PLAIN,
    SECOND,
    apply,
    claim,
    commit,
    find,
    in_lane,
    item,
    keys_in,
    note,
    numbers_in,
    on_shelf,
    plain,
    read,
    remove,
    watch,
    write,
)
from cicd_core.testing.tracing import untraced

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.clock import VirtualClock
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness

STRANGE_KEYS = (
    " ",
    "a/b:c|d#e{f}",
    "100%_*?[x]",
    "'; DROP TABLE items; --",
    'quote " and back\\slash',
    "line\nbreak\ttab\r",
    "nul\0inside",
    "\0",
    "Stra\N{LATIN SMALL LETTER SHARP S}e",
    "\N{SNOWMAN}\N{ROCKET}",
    "\uffff\U0010ffff",
    "k" * (MAX_KEY_BYTES - 1),  # with the colon before it, a sort value of the longest kind
    "\N{ROCKET}" * (MAX_KEY_BYTES // 4 - 1),
)
#: Pairs that a careless comparison treats as equal.
ALIKE = (
    ("case", "CASE"),
    ("e\N{COMBINING ACUTE ACCENT}", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
    ("key", "key\0"),
    ("key", "key "),
    ("1", "1.0"),
)

#: In microseconds.
DAY = 86400 * SECOND


class RecordPromises(Suite):
    """Records, one by one."""

    async def test_a_store_has_every_verb_of_the_contract(self, store: Store) -> None:
        assert isinstance(checked(untraced(store)).backend, contract.Store)

    async def test_a_record_is_read_as_it_was_put(self, store: Store) -> None:
        now = (await store.now()).micros
        put = item("a", body=b"\0\xff{", lease_limit=7 * SECOND, expires_at=now + 90 * SECOND)
        versions = await write(store, put, commit_id="c1")
        record = await read(store, "a")
        assert (record.key, record.version, record.commit_id) == ("a", versions["a"], "c1")
        assert (record.body, record.attributes) == (put.body, put.attributes)
        assert (record.lease_limit, record.expires_at) == (7 * SECOND, now + 90 * SECOND)
        assert (record.grant, record.lease) == (None, None)

    async def test_get_leaves_out_missing_records(self, store: Store) -> None:
        await write(store, item("a"), item("b"))
        assert set(await store.get(ITEMS.name, ["b", "missing", "a", "b"])) == {"a", "b"}

    async def test_get_of_no_keys_answers_nothing(self, store: Store) -> None:
        assert dict(await store.get(ITEMS.name, [])) == {}

    async def test_get_of_a_thousand_keys_is_one_call(self, store: Store) -> None:
        await write(store, *(plain(f"k{number}") for number in range(25)))
        found = await store.get(PLAIN.name, [f"k{number}" for number in range(1000)])
        assert len(found) == 25

    async def test_collections_keep_the_same_key_apart(self, store: Store) -> None:
        await write(store, item("a", body=b"item"), note("a", body=b"note"))
        assert (await read(store, "a")).body == b"item"
        assert (await read(store, "a", NOTES.name)).body == b"note"

    async def test_an_unknown_collection_is_refused_with_the_known_ones(self, store: Store) -> None:
        with pytest.raises(InvalidInput, match="items") as refused:
            await store.get("jobz", ["a"])
        assert refused.value.field == "collection"

    async def test_a_put_replaces_everything(self, store: Store, harness: StoreHarness) -> None:
        now = (await store.now()).micros
        first = item("a", lease_limit=SECOND, expires_at=now + 90 * SECOND)
        version = (await write(store, first))["a"]
        await write(store, item("a", expected=version, body=b"", attributes={}))
        await harness.settle()
        record = await read(store, "a")
        assert (record.body, record.attributes) == (b"", {})
        assert (record.lease_limit, record.expires_at) == (None, None)
        assert await keys_in(store, in_lane()) == []

    @pytest.mark.parametrize("key", STRANGE_KEYS, ids=ascii)
    async def test_a_strange_key_works_in_every_verb(
        self, store: Store, harness: StoreHarness, key: str
    ) -> None:
        version = (await write(store, note(key, shelf=key)))[key]
        await harness.settle()
        assert (await read(store, key, NOTES.name)).key == key
        assert await keys_in(store, on_shelf(key)) == [key]
        assert await numbers_in(store, on_shelf(key)) == [1]
        await remove(store, key, version, NOTES.name)
        assert await find(store, key, NOTES.name) is None

    @pytest.mark.parametrize("letter", ["k", "\N{ROCKET}"], ids=ascii)
    async def test_a_key_may_be_as_long_as_its_limit(self, store: Store, letter: str) -> None:
        key = letter * (MAX_KEY_BYTES // len(letter.encode()))
        version = (await write(store, plain(key)))[key]
        assert (await read(store, key, PLAIN.name)).version == version

    @pytest.mark.parametrize(("one", "other"), ALIKE, ids=ascii)
    async def test_similar_keys_are_different_records(
        self, store: Store, one: str, other: str
    ) -> None:
        await write(store, plain(one, body=b"one"))
        assert dict(await store.get(PLAIN.name, [other])) == {}
        await write(store, plain(other, body=b"other"))
        assert list(await store.get(PLAIN.name, [one])) == [one]
        assert (await read(store, one, PLAIN.name)).body == b"one"
        assert (await read(store, other, PLAIN.name)).body == b"other"

    @pytest.mark.parametrize("key", ["", "\ud800", "half \udfff"], ids=ascii)
    async def test_a_key_that_is_not_unicode_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            await store.commit([commit(plain(key))])
        assert refused.value.field == "key"
        with pytest.raises(InvalidInput):
            await store.get(PLAIN.name, [key])

    @pytest.mark.parametrize("key", ["k" * 1025, "\N{ROCKET}" * 257], ids=["ascii", "emoji"])
    async def test_a_key_over_its_limit_of_bytes_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(TooLarge) as refused:
            await store.commit([commit(plain(key))])
        assert (refused.value.field, refused.value.limit) == ("key", MAX_KEY_BYTES)

    async def test_a_body_may_be_as_large_as_its_limit(self, store: Store) -> None:
        body = bytes(range(256)) * (MAX_RECORD_BYTES // 256)
        await write(store, plain("a", body=body))
        assert (await read(store, "a", PLAIN.name)).body == body

    async def test_a_body_over_its_limit_is_refused(self, store: Store) -> None:
        with pytest.raises(TooLarge) as refused:
            await store.commit([commit(plain("a", body=b"x" * (MAX_RECORD_BYTES + 1)))])
        assert refused.value.field == "body"
        assert await find(store, "a", PLAIN.name) is None


class VersionPromises(Suite):
    """Versions only grow."""

    async def test_a_new_record_has_at_least_the_stores_time_as_its_version(
        self, store: Store, clock: StoreClock
    ) -> None:
        before = await clock.earliest()
        assert (await write(store, item("a")))["a"] >= before

    async def test_each_commit_adds_one_to_the_version(self, store: Store) -> None:
        first = (await write(store, item("a")))["a"]
        assert await write(store, item("a", expected=first)) == {"a": first + 1}
        assert (await read(store, "a")).version == first + 1

    async def test_a_recreated_record_never_has_a_version_twice(self, store: Store) -> None:
        seen: list[int] = []
        for _ in range(5):  # faster than a clock that stands still, or ticks slowly
            version = (await write(store, item("a")))["a"]
            seen.append(version)
            for _ in range(3):
                version = (await write(store, item("a", expected=version)))["a"]
                seen.append(version)
            await remove(store, "a", version)
        assert len(set(seen)) == len(seen)

    async def test_a_record_recreated_after_a_claim_never_has_a_version_twice(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        (held,) = await store.claim(claim())
        await remove(store, "a", held.version)
        assert (await write(store, item("a")))["a"] > held.version

    async def test_records_removed_in_any_order_never_have_a_version_twice(
        self, store: Store
    ) -> None:
        at = {"a": 0, "b": 0}
        for key in "aaaaaaaaab":  # "a" runs far ahead of a clock that stands still
            at |= await write(store, item(key, expected=at[key]))
        for key, version in at.items():
            await remove(store, key, version)
        assert (await write(store, item("a")))["a"] > at["a"]

    async def test_an_expired_record_ahead_of_the_clock_never_has_a_version_twice(
        self, store: Store, exact_clock: VirtualClock
    ) -> None:
        """Versions count commits even if the clock stands still: they may be above its time."""
        ends = (await store.now()).micros + 2
        version = (await write(store, item("a")))["a"]
        for _ in range(9):
            put = item("a", expected=version, expires_at=ends)
            version = (await write(store, put))["a"]
        exact_clock.advance(micros=2)
        assert await find(store, "a") is None
        assert (await write(store, item("a")))["a"] > version


class RetentionPromises(Suite):
    """A record whose ``expires_at`` has passed is absent, in every verb."""

    @pytest.fixture
    async def expired(self, store: Store, clock: StoreClock, harness: StoreHarness) -> int:
        """The version of item "a", which was in a lane and on no shelf, and is now absent."""
        moment = await clock.now() + clock.brief
        version = (await write(store, item("a", expires_at=moment)))["a"]
        await harness.settle()
        assert await keys_in(store, in_lane()) == ["a"] or await clock.has_come(moment)
        await clock.reach_safely(moment)
        return version

    async def test_a_record_is_there_until_the_moment_that_it_expires(
        self, store: Store, clock: StoreClock
    ) -> None:
        moment = await clock.now() + clock.brief
        await write(store, item("a", expires_at=moment))
        await clock.reach(moment - 1)
        assert await find(store, "a") is not None or await clock.has_come(moment)
        await clock.reach_safely(moment)
        assert await find(store, "a") is None

    async def test_a_record_that_will_expire_is_there_in_every_verb_until_then(
        self, store: Store, clock: StoreClock, harness: StoreHarness
    ) -> None:
        ends = await clock.now() + DAY
        await write(store, item("a", expires_at=ends), item("b"))
        await harness.settle()
        assert await keys_in(store, in_lane()) == ["a", "b"]
        assert await numbers_in(store, in_lane()) == [2]
        assert await store.wait([watch(in_lane())], 0)
        mine = claim(2)
        taken = await store.claim(mine)
        assert [(record.key, record.expires_at) for record in taken] == [("a", ends), ("b", None)]
        assert await store.claim(mine) == taken
        renewal = Renewal(collection="items", key="a", claim_id=mine.claim_id, duration=60 * SECOND)
        (renewed,) = await store.renew([renewal])
        assert renewed is not None
        assert (await read(store, "a")).expires_at == ends
        await write(store, item("a", expected=renewed.version, expires_at=ends + 1))
        assert (await read(store, "a")).expires_at == ends + 1

    async def test_an_expired_record_is_not_read(self, store: Store, expired: int) -> None:
        assert await find(store, "a") is None

    async def test_an_expired_record_is_on_no_page(self, store: Store, expired: int) -> None:
        assert await keys_in(store, in_lane()) == []

    async def test_an_expired_record_is_not_counted(self, store: Store, expired: int) -> None:
        assert await numbers_in(store, in_lane()) == [0]

    async def test_an_expired_record_is_not_claimed(self, store: Store, expired: int) -> None:
        assert await store.claim(claim(10)) == []

    async def test_an_expired_record_wakes_no_waiter(self, store: Store, expired: int) -> None:
        assert not await store.wait([watch(in_lane())], 0)

    async def test_an_expired_record_cannot_be_overwritten(
        self, store: Store, expired: int
    ) -> None:
        answer = await apply(store, commit(item("a", expected=expired)))
        assert answer == Conflict((("items", "a"),))

    async def test_an_expired_record_cannot_be_deleted(self, store: Store, expired: int) -> None:
        gone = Delete(collection="items", key="a", expected=expired)
        assert await apply(store, commit(plain("p"), gone)) == Conflict((("items", "a"),))
        assert await find(store, "p", "plain") is None

    async def test_an_expired_record_can_be_recreated_with_a_new_version(
        self, store: Store, expired: int
    ) -> None:
        assert (await write(store, item("a")))["a"] > expired
        assert (await read(store, "a")).body == b"body of a"

    async def test_an_expired_record_keeps_no_lease(
        self, store: Store, clock: StoreClock, harness: StoreHarness
    ) -> None:
        mine, moment = claim(), 0
        for duration in clock.durations():
            moment = await clock.now() + duration
            await write(store, item("a", expires_at=moment))
            await harness.settle()
            if await store.claim(mine):
                break
            await clock.reach_safely(moment)
        else:
            raise AssertionError("nothing could be claimed before it expired")
        await clock.reach_safely(moment)
        renewal = Renewal(collection="items", key="a", claim_id=mine.claim_id, duration=60 * SECOND)
        assert await store.renew([renewal]) == [None]
        assert await store.claim(mine) == []

    async def test_a_record_may_have_expired_when_it_is_put(
        self, store: Store, harness: StoreHarness
    ) -> None:
        now = (await store.now()).micros
        born_dead = [commit(item("a", expires_at=now - SECOND)) for _ in range(2)]
        answers = await store.commit(born_dead)
        first, second = (
            answer.versions["items", "a"] for answer in answers if isinstance(answer, Committed)
        )
        await harness.settle()
        assert second > first
        assert await find(store, "a") is None
        assert await numbers_in(store, in_lane()) == [0]

    async def test_many_records_may_expire_at_once(
        self, store: Store, clock: StoreClock, harness: StoreHarness
    ) -> None:
        moment = await clock.now() + clock.brief
        keys = [f"{number:03}" for number in range(300)]
        await store.commit([commit(item(key, rank="1", expires_at=moment)) for key in keys])
        await write(store, item("stays", rank="2"))
        await harness.settle()
        await clock.reach_safely(moment)
        page = await store.page(Query(partition=in_lane(), limit=1))
        assert [record.key for record in page.records] == ["stays"] or page.resume is not None
        assert await store.wait([watch(in_lane())], 0)
        assert await numbers_in(store, in_lane()) == [1]
        assert await keys_in(store, in_lane()) == ["stays"]
        assert [record.key for record in await store.claim(claim(5))] == ["stays"]
        await harness.settle()
        assert await numbers_in(store, in_lane()) == [0]

    async def test_a_put_without_retention_keeps_the_record(
        self, store: Store, clock: StoreClock
    ) -> None:
        await clock.reach_safely(await rescue(store, clock, "a"))
        assert await find(store, "a") is not None


async def rescue(store: Store, clock: StoreClock, key: str) -> int:
    """Put an item with an expiry, then without retention; return the time of the expiry."""
    for duration in clock.durations():
        moment = await clock.now() + duration
        version = (await write(store, item(key, expires_at=moment)))[key]
        if isinstance(await apply(store, commit(item(key, expected=version))), Committed):
            return moment
        await clock.reach_safely(moment)
    raise AssertionError(f"{key!r} could not be written again before it expired")
