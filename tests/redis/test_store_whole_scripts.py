"""A script that cannot run to its end writes nothing, and what is asked again takes effect once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from cicd_core.errors import CicdError, StoreError, UnsupportedCapability
from cicd_core.store.records import Committed, Renewal
from cicd_core.testing.samples import (
    IDS,
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
    plain,
    read,
    write,
)
from tests.redis.stores import ONE, number_of_events, opened, sum_of_ones
from tests.redis.test_store_users import COMMANDS, MINIMAL, allow

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Commit
    from tests.redis.engines import Engine, Server

pytestmark = pytest.mark.anyio

PREFIX: Final = "cicd:{a}:"
#: What none of the three verbs that write runs over a connection that is open already.
BESIDE_THE_SCRIPTS: Final = frozenset(
    {"eval", "info", "hmget", "hsetnx", "hgetall", "hscan", "ssubscribe", "sunsubscribe"}
)


@pytest.fixture
def server(engine: Engine, start: Callable[..., Server]) -> Server:
    """A server of each engine, of this test's own."""
    return start(engine)


@pytest.fixture
async def store(server: Server) -> AsyncGenerator[Store, None]:
    """A store of a user with the rights it needs: a record is held, one is ready, one to change."""
    async with opened(allow(server, MINIMAL, "a"), namespace=None) as store:
        await write(store, item("held"))
        await store.claim(HELD)
        await write(store, item("ready"), item("other", lane="second"))
        yield store


HELD: Final = claim()
RENEWAL: Final = Renewal(
    collection="items", key="held", claim_id=HELD.claim_id, duration=60 * SECOND
)


def contents(server: Server) -> dict[Any, Any]:
    """Return what is under each key, but for what the clock notes."""
    client: Any
    with server.client() as client:
        client.connection_pool.connection_kwargs["decode_responses"] = False
        found = {key: client.dump(key) for key in client.keys("cicd:*")}
        found[f"{PREFIX}meta".encode()] = client.hget(f"{PREFIX}meta", "floor")
    return found


@pytest.mark.thorough
async def test_a_right_that_goes_while_the_store_is_open_lets_no_script_end_in_its_middle(
    server: Server, store: Store
) -> None:
    for right in sorted({command.partition("|")[0] for command in COMMANDS} - BESIDE_THE_SCRIPTS):
        number = IDS.commit_id()
        other = await read(store, "other")
        ready = (await keys_in(store, in_lane()))[0]
        put = item(number, lane=right)
        changed = item("other", lane="second", rank="7", expected=other.version)
        writes = commit(put, changed, events=[event_of(number)], increments=[ONE])
        takes = claim()
        events, ones = await number_of_events(store), await sum_of_ones(store)
        before = contents(server)
        server.ask("ACL", "SETUSER", "cicd", f"-{right}")
        for verb in (
            partial(apply, store, writes),
            partial(store.claim, takes),
            partial(store.renew, [RENEWAL]),
        ):
            with pytest.raises(UnsupportedCapability, match="nothing was written"):
                await verb()
            assert contents(server) == before, right
        server.ask("ACL", "SETUSER", "cicd", f"+{right}")
        for _ in range(2):
            assert isinstance(await apply(store, writes), Committed)
            assert await keys_in(store, in_lane(right)) == [number]
            assert await number_of_events(store) == events + 1
            assert await sum_of_ones(store) == ones + 1
            assert [record.key for record in await store.claim(takes)] == [ready]
        assert None not in await store.renew([RENEWAL])
        await write(store, item(IDS.commit_id()))


@pytest.mark.parametrize("less", ["resetkeys ~cicd:{a}:r:* ~cicd:{a}:meta", "resetchannels"])
async def test_keys_or_channels_that_go_while_the_store_is_open_let_no_commit_end_in_its_middle(
    less: str, server: Server, store: Store
) -> None:
    one = commit(item("new"), events=[event_of("new")], increments=[ONE])
    before = contents(server)
    server.ask("ACL", "SETUSER", "cicd", *less.split())
    with pytest.raises(UnsupportedCapability, match="nothing was written"):
        await apply(store, one)
    assert contents(server) == before
    server.ask("ACL", "SETUSER", "cicd", "~cicd:{a}:*", "&cicd:{a}:*")
    assert isinstance(await apply(store, one), Committed)
    assert (await keys_in(store, in_lane()), await number_of_events(store)) == (["new", "ready"], 1)


#: A key of each kind that a commit of an item with an event, a counter and a time to go writes to.
TOUCHED: Final = (
    "i:items:lane:rank:main",
    "i:items:state:made-at:new",
    "i:items:timer:due:t",
    "expiring",
    "log",
    "groups",
    "n:ones",
)


class Replaced:
    """A key under which another program put something of its own, until it is restored."""

    def __init__(self, server: Server, key: str) -> None:
        self._server, self._key = server, PREFIX + key

    def __enter__(self) -> None:
        self._server.ask("COPY", self._key, f"kept:{self._key}")
        self._server.ask("SET", self._key, "of another program")

    def __exit__(self, *_: object) -> None:
        self._server.ask("DEL", self._key)
        self._server.ask("COPY", f"kept:{self._key}", self._key)


@pytest.mark.parametrize("key", TOUCHED)
async def test_a_commit_that_meets_a_key_of_another_type_is_refused_whole_and_its_neighbours_go_on(
    key: str, server: Server, store: Store
) -> None:
    later = (await store.now()).calendar + 3600 * SECOND
    attributes = {
        "lane": "main",
        "rank": "1:new",
        "state": "new",
        "made-at": "0:new",
        "timer": "t",
        "due": "1:new",
    }
    put = item("new", attributes=attributes, expires_at=later)
    one = commit(plain("beside"), put, events=[event_of("new")], increments=[ONE])
    with Replaced(server, key):
        before = contents(server)
        with pytest.raises(StoreError, match="the commit was not applied"):
            await apply(store, one)
        assert contents(server) == before
        answers = await gathered(store, one)
        assert [isinstance(each, Committed) for each in answers] == [True, False, True]
    for _ in range(2):
        assert isinstance(await apply(store, one), Committed)
        assert (await number_of_events(store), await sum_of_ones(store)) == (1, 1)
        assert await keys_in(store, in_lane()) == ["new", "ready"]
        assert (await read(store, "beside", "plain")).version > 0


async def gathered(store: Store, one: Commit) -> list[object]:
    """Send a commit between two others that touch nothing of the kind, in one write."""
    neighbours = [commit(plain(IDS.commit_id())) for _ in range(2)]
    found: list[object] = []

    async def send(each: Commit, at: int) -> None:
        try:
            found[at] = await apply(store, each)
        except CicdError as refused:
            found[at] = refused

    found.extend([None] * 3)
    async with anyio.create_task_group() as tasks:
        for at, each in enumerate((neighbours[0], one, neighbours[1])):
            tasks.start_soon(send, each, at)
    return found


@pytest.mark.parametrize("key", ["i:items:lane:rank:main", "i:items:state:made-at:held"])
async def test_a_claim_that_meets_a_key_of_another_type_takes_the_other_lanes_or_nothing(
    key: str, server: Server, store: Store
) -> None:
    one = claim(2, lanes=("main", "second"))
    with Replaced(server, key):
        before = contents(server)
        found = await store.claim(one)
        taken = [record.key for record in found]
        if "held" in key:
            assert (taken, contents(server)) == ([], before)
        else:
            assert taken == ["other"]
    again = [record.key for record in await store.claim(one)]
    assert again == (["other", "ready"] if "held" in key else ["other"])


async def test_a_claim_whose_own_key_has_another_type_is_refused_and_can_be_asked_again(
    server: Server, store: Store
) -> None:
    one: Claim = claim()
    with Replaced(server, f"h:items:{one.claim_id}"):
        before = contents(server)
        with pytest.raises(StoreError, match="nothing was granted"):
            await store.claim(one)
        assert contents(server) == before
    assert [record.key for record in await store.claim(one)] == ["ready"]
    assert [record.key for record in await store.claim(one)] == ["ready"]


async def test_a_renewal_that_meets_a_key_of_another_type_changes_nothing(
    server: Server, store: Store
) -> None:
    held = await read(store, "held")
    assert held.lease is not None
    attributes = {**held.attributes, "timer": "t"}
    await write(store, item("held", expected=held.version, attributes=attributes))
    with Replaced(server, "i:items:timer:due:t"):
        before = contents(server)
        assert await store.renew([RENEWAL]) == [None]
        assert contents(server) == before
    (renewed,) = await store.renew([RENEWAL])
    assert renewed is not None
    assert renewed.expires > held.lease.expires


async def test_a_record_that_ran_out_and_cannot_go_is_told_and_nothing_of_it_goes(
    server: Server, store: Store
) -> None:
    past = (await store.now()).micros
    await write(store, item("old", lane="old", expires_at=past))
    with Replaced(server, "i:items:lane:rank:old"):
        before = contents(server)
        with pytest.raises(StoreError, match="i:items:lane:rank:old"):
            await apply(store, commit(item("old"), events=[event_of("old")]))
        assert contents(server) == before
    await write(store, item("old"))
    assert await keys_in(store, in_lane("old")) == []
    assert await keys_in(store, in_state("new")) == ["old", "other", "ready"]
    assert await find(store, "old") is not None
