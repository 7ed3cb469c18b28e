"""Records stay readable when a collection gets another index, or loses one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from cicd_core.errors import SchemaTooOld
from cicd_core.store.records import (
    Claim,
    Collection,
    Commit,
    Committed,
    Index,
    Partition,
    Put,
    Query,
    Renewal,
)
from cicd_core.store.registry import open_store
from cicd_core.testing.samples import IDS, SECOND
from cicd_core_redis.handshake import SCHEMA

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio

LANE: Final = Index("lane", "rank")
TEAM: Final = Index("team", "made-at")
#: It sorts before the attributes that were there, and stands among them.
AREA: Final = Index("area", "zone")
BEFORE: Final = Collection(name="items", indexes=(LANE,))
AFTER: Final = Collection(name="items", indexes=(AREA, LANE, TEAM))


def opened_as(
    collection: Collection, server: Server, namespace: str
) -> AbstractAsyncContextManager[Store]:
    words: dict[str, Any] = {"namespace": namespace, "durability": "none"}
    return open_store(server.url, collections=(collection,), **words)


async def put(store: Store, key: str, expected: int = 0, **attributes: Any) -> int:
    one = Put(
        collection="items",
        key=key,
        expected=expected,
        body=key.encode(),
        attributes={"lane": "x", "rank": f"1:{key}", **attributes},
    )
    (answer,) = await store.commit([Commit(commit_id=IDS.commit_id(), writes=(one,))])
    assert isinstance(answer, Committed)
    return answer.versions["items", key]


async def listed(store: Store, index: Index, value: str) -> list[str]:
    page = await store.page(Query(partition=Partition("items", index, value), limit=10))
    return [record.key for record in page.records]


async def take(store: Store, lane: str = "x") -> list[str]:
    one = Claim(
        claim_id=IDS.claim_id(),
        collection="items",
        index=LANE,
        partitions=(lane,),
        limit=10,
        grant=b"granted",
        duration=SECOND * 60,
        patch={"lane": None},
    )
    records = await store.claim(one)
    renewals = [
        Renewal(collection="items", key=each.key, claim_id=one.claim_id, duration=SECOND * 90)
        for each in records
    ]
    assert None not in await store.renew(renewals)
    return [record.key for record in records]


async def test_records_written_without_an_index_are_read_listed_claimed_and_changed_with_it(
    server: Server, namespace: str
) -> None:
    async with opened_as(BEFORE, server, namespace) as old:
        version = await put(old, "a")
        await put(old, "b")
        async with opened_as(AFTER, server, namespace) as new:
            assert (await new.get("items", ["a"]))["a"].attributes == {"lane": "x", "rank": "1:a"}
            assert await listed(new, LANE, "x") == ["a", "b"]
            more: dict[str, Any] = {"team": "t", "made-at": "1:a", "area": "r", "zone": "1:a"}
            await put(new, "a", expected=version, **more)
            assert await listed(new, TEAM, "t") == await listed(new, AREA, "r") == ["a"]
            assert await take(new) == ["a", "b"]


async def test_records_written_with_an_index_are_used_without_it_and_keep_what_it_needs(
    server: Server, namespace: str
) -> None:
    async with (
        opened_as(AFTER, server, namespace) as new,
        opened_as(BEFORE, server, namespace) as old,
    ):
        more: dict[str, Any] = {"team": "t", "made-at": "1:a"}
        version = await put(new, "a", **more)
        assert (await old.get("items", ["a"]))["a"].attributes == {"lane": "x", "rank": "1:a"}
        version = await put(old, "a", expected=version)
        assert await listed(old, LANE, "x") == ["a"]
        assert await take(old) == ["a"]
        found = (await new.get("items", ["a"]))["a"]
        assert found.attributes == {"rank": "1:a", "team": "t", "made-at": "1:a"}
        assert await listed(new, TEAM, "t") == ["a"]


async def test_a_namespace_of_an_older_layout_is_refused_and_stays_as_it_is(
    server: Server, namespace: str
) -> None:
    meta = f"cicd:{{{namespace}}}:meta"
    server.ask("HSET", meta, "schema", SCHEMA - 1)
    with pytest.raises(SchemaTooOld):
        async with opened_as(BEFORE, server, namespace):
            pass
    assert server.ask("HGETALL", meta) == {"schema": str(SCHEMA - 1)}
