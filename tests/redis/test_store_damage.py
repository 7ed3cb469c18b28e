"""A record that does not decode is told by its name, and stands in nobody else's way."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from cicd_core.errors import CorruptRecord
from cicd_core.store.records import Committed, Query, Renewal
from cicd_core.testing.samples import (
    IDS,
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
    numbers_in,
    read,
    watch,
    write,
)
from tests.redis.stored_records import header_of, joined, lose_the_body, replace_header, split
from tests.redis.stores import ONE, number_of_events, opened, sum_of_ones

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cicd_core.store.contract import Store
    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio


def garble(client: Any, key: str) -> None:
    """Leave text: its letters are so many small numbers, as many as a header has parts."""
    replace_header(client, key, b"no header at all")


def blank(client: Any, key: str) -> None:
    client.set(key, "")


def cut(client: Any, key: str) -> None:
    header = header_of(client, key)
    replace_header(client, key, header[: len(header) // 2])


def shorten(client: Any, key: str) -> None:
    """Take the last byte away, which is one of the last attribute's value."""
    replace_header(client, key, header_of(client, key)[:-1])


def cut_the_end(client: Any, key: str) -> None:
    client.set(key, client.get(key)[:-7])


def replace_by_another_kind(client: Any, key: str) -> None:
    client.delete(key)
    client.hset(key, "of", "another kind")


def replace_by_another_text(client: Any, key: str) -> None:
    client.set(key, "of another program")


def garble_an_attribute(client: Any, key: str) -> None:
    header = header_of(client, key)
    replace_header(client, key, header.replace(b"made-at\xa10", b"made-at\xa1\xff"))


#: What a script notices in the header, and what is noticed only by who reads the whole record.
IN_THE_HEADER: Final = [
    garble,
    blank,
    cut,
    shorten,
    cut_the_end,
    replace_by_another_kind,
    replace_by_another_text,
]
DAMAGES: Final = [*IN_THE_HEADER, lose_the_body, garble_an_attribute]


@pytest.fixture
def namespace() -> str:
    return IDS.commit_id()


@pytest.fixture
async def store(server: Server, namespace: str) -> AsyncGenerator[Store, None]:
    """A store with three records in a lane, of which ``bad`` is the first."""
    async with opened(server.url, namespace=namespace) as store:
        await write(store, item("bad", rank="1"), item("good", rank="2"), item("third", rank="3"))
        yield store


@pytest.fixture
def damage(request: pytest.FixtureRequest, server: Server, namespace: str) -> Callable[[], None]:
    """What damages ``bad`` when it is called."""

    def act() -> None:
        with server.client() as client:
            client.connection_pool.connection_kwargs["decode_responses"] = False
            request.param(client, f"cicd:{{{namespace}}}:r:items:bad")

    return act


everything = pytest.mark.parametrize("damage", DAMAGES, indirect=True)
in_the_header = pytest.mark.parametrize("damage", IN_THE_HEADER, indirect=True)


@everything
async def test_who_reads_it_is_told_its_name_and_who_reads_others_has_them(
    store: Store, damage: Callable[[], None]
) -> None:
    damage()
    with pytest.raises(CorruptRecord) as caught:
        await find(store, "bad")
    assert (caught.value.collection, caught.value.key) == ("items", "bad")
    refused: list[str] = []

    async def ask_for_it() -> None:
        with pytest.raises(CorruptRecord):
            await store.get("items", ["good", "bad"])
        refused.append("bad")

    async with anyio.create_task_group() as tasks:  # all of them in one script
        for _ in range(5):
            tasks.start_soon(read, store, "good")
            tasks.start_soon(ask_for_it)
            tasks.start_soon(read, store, "third")
    assert refused == ["bad"] * 5


@in_the_header
async def test_who_commits_over_it_is_told_its_name_and_other_commits_are_applied(
    store: Store, damage: Callable[[], None]
) -> None:
    good, bad = (await read(store, "good")), (await read(store, "bad"))
    damage()
    over_both = commit(
        item("good", expected=good.version),
        item("bad", expected=bad.version),
        events=[event_of("good")],
        increments=[ONE],
    )

    async def commit_over_it() -> None:
        with pytest.raises(CorruptRecord) as caught:
            await apply(store, over_both)
        assert (caught.value.collection, caught.value.key) == ("items", "bad")

    async def commit_another(key: str) -> None:
        one = commit(item(key), events=[event_of(key)], increments=[ONE])
        assert isinstance(await apply(store, one), Committed)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(commit_another, f"{number}")
            tasks.start_soon(commit_over_it)
    assert (await read(store, "good")) == good
    assert await sum_of_ones(store) == await number_of_events(store) == 5


@everything
async def test_it_does_not_block_the_lane_that_it_is_the_first_of(
    store: Store, damage: Callable[[], None]
) -> None:
    damage()
    seen: list[str] = []

    async def take(limit: int) -> None:
        seen.extend(record.key for record in await store.claim(claim(limit)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, 2)
        tasks.start_soon(take, 2)
    assert sorted(seen) == ["good", "third"]
    await write(store, item("fourth", rank="4"))
    assert await store.wait([watch(in_lane())], 0)
    while "fourth" not in seen:  # one that a script does not notice was taken, and is held now
        await take(1)


@in_the_header
async def test_it_does_not_wake_who_waits(store: Store, damage: Callable[[], None]) -> None:
    damage()
    await store.claim(claim(2))
    assert not await store.wait([watch(in_lane())], 0)


@everything
async def test_it_is_left_out_of_pages_and_the_log_of_the_program_names_it(
    store: Store, damage: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage()
    assert await keys_in(store, in_lane()) == ["good", "third"]
    assert await keys_in(store, in_state("new"), descending=True) == ["third", "good"]
    first = await store.page(Query(partition=in_lane(), limit=2))
    assert "record 'bad' of 'items' does not decode" in caplog.text
    assert first.records[0].key == "good" or first.more
    assert await numbers_in(store, in_lane()) == [3]


@pytest.mark.parametrize("damage", [*IN_THE_HEADER, lose_the_body], indirect=True)
async def test_page_names_it_in_the_stretch_that_it_stands_in(
    store: Store, damage: Callable[[], None]
) -> None:
    sort = (await read(store, "bad")).attributes["rank"]
    damage()
    whole = await store.page(Query(partition=in_lane(), limit=5))
    assert (whole.unreadable, whole.more) == (((sort, "bad"),), False)
    first = await store.page(Query(partition=in_lane(), limit=1))
    assert (first.unreadable, first.more) == (((sort, "bad"),), True)
    last = await store.page(Query(partition=in_lane(), limit=1, descending=True))
    assert ([record.key for record in last.records], last.unreadable) == (["third"], ())


@in_the_header
async def test_who_renews_it_has_lost_it_and_the_other_leases_are_renewed(
    store: Store, damage: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    one = claim(3)
    assert len(await store.claim(one)) == 3
    damage()
    first, second, third = await store.renew(renewals_of(one.claim_id))
    assert second is None
    assert first is not None
    assert third is not None
    assert "record 'bad' of 'items' does not decode" in caplog.text


def renewals_of(claim_id: str) -> list[Renewal]:
    return [
        Renewal(collection=ITEMS.name, key=key, claim_id=claim_id, duration=60 * SECOND)
        for key in ("good", "bad", "third")
    ]


async def test_whichever_byte_of_it_is_wrong_the_other_leases_are_renewed(
    store: Store, server: Server, namespace: str
) -> None:
    one = claim(3)
    assert len(await store.claim(one)) == 3
    key = f"cicd:{{{namespace}}}:r:items:bad"
    with server.client(decode=False) as client:
        stored = client.get(key)
        for place in range(len(stored)):
            for wrong in (0x00, stored[place] ^ 0x40):
                client.set(key, stored[:place] + bytes([wrong]) + stored[place + 1 :])
                first, _, third = await store.renew(renewals_of(one.claim_id))
                assert first is not None
                assert third is not None


@pytest.mark.parametrize("damage", [lose_the_body], indirect=True)
async def test_one_without_its_body_is_not_renewed_and_stays_recognisable(
    store: Store, damage: Callable[[], None]
) -> None:
    one = claim(3)
    await store.claim(one)
    damage()
    first, second, third = await store.renew(renewals_of(one.claim_id))
    assert (second, first is None, third is None) == (None, False, False)
    with pytest.raises(CorruptRecord):
        await find(store, "bad")


@in_the_header
async def test_a_repeated_claim_answers_those_that_decode(
    store: Store, damage: Callable[[], None]
) -> None:
    one = claim(3)
    await store.claim(one)
    damage()
    assert [record.key for record in await store.claim(one)] == ["good", "third"]


@in_the_header
async def test_its_retention_does_not_hold_up_that_of_others(
    store: Store, damage: Callable[[], None], server: Server, namespace: str
) -> None:
    soon = (await store.now()).micros + SECOND // 20
    for key in ("bad", "good"):
        version = (await read(store, key)).version
        await write(store, item(key, expected=version, expires_at=soon))
    damage()
    while (await store.now()).micros <= soon:
        await anyio.lowlevel.checkpoint()
    assert await numbers_in(store, in_lane()) == [2]  # it stays, and the third one does
    assert not server.ask("EXISTS", f"cicd:{{{namespace}}}:r:items:good")
    assert server.ask("ZCARD", f"cicd:{{{namespace}}}:expiring") == 0


async def test_a_header_that_lost_any_part_of_its_end_is_corrupt(
    store: Store, server: Server, namespace: str
) -> None:
    key = f"cicd:{{{namespace}}}:r:items:bad"
    with server.client(decode=False) as client:
        stored = client.get(key)
        body, header = split(stored)
        lost = [joined(body, header[:length]) for length in range(len(header))]
        for damaged in (*lost, *(stored[:length] for length in range(len(stored)))):
            client.set(key, damaged)
            with pytest.raises(CorruptRecord):
                await find(store, "bad")
        client.set(key, stored)
    assert (await read(store, "bad")).attributes == item("bad", rank="1").attributes


async def test_one_without_a_body_has_one_again_after_the_next_commit(
    store: Store, server: Server, namespace: str
) -> None:
    bad = await read(store, "bad")
    with server.client(decode=False) as client:
        lose_the_body(client, f"cicd:{{{namespace}}}:r:items:bad")
    await write(store, item("bad", expected=bad.version, body=b"anew"))
    assert (await read(store, "bad")).body == b"anew"


async def test_hundreds_of_them_are_passed_by(server: Server, namespace: str) -> None:
    async with opened(server.url, namespace=namespace) as store:
        await store.commit([commit(item(f"{number:04}", rank="1")) for number in range(900)])
        await write(store, item("good", rank="2"))
        with server.client() as client:
            pipeline = client.pipeline(transaction=False)
            for number in range(900):
                pipeline.set(f"cicd:{{{namespace}}}:r:items:{number:04}", "x")
            pipeline.execute()
        assert [record.key for record in await store.claim(claim())] == ["good"]
        page = partial(store.page, Query(partition=in_state("held"), limit=10))
        assert [record.key for record in (await page()).records] == ["good"]


@pytest.mark.parametrize("limit", [1, 3])
async def test_names_whose_records_were_deleted_by_hand_do_not_block_their_lane(
    store: Store, server: Server, namespace: str, limit: int
) -> None:
    await store.commit([commit(item(f"{number}", rank="0")) for number in range(20)])
    keys = [f"cicd:{{{namespace}}}:r:items:{number}" for number in range(20)]
    assert server.ask("DEL", *keys) == 20
    assert await keys_in(store, in_lane()) == ["bad", "good", "third"]
    assert [record.key for record in await store.claim(claim(limit))] == ["bad", "good", "third"][
        :limit
    ]
    assert await numbers_in(store, in_lane()) == [3 - limit]
