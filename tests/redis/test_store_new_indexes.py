"""An index that is added later holds the records that were there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import evolve

from cicd_core.errors import UnsupportedCapability
from cicd_core.store.records import Collection, Index, Partition, Query
from cicd_core.store.registry import open_store
from cicd_core.testing.samples import ITEMS, NOTES, claim, in_lane, item, note, write
from cicd_core_redis.pipeline import Pipeline
from tests.redis.test_store_users import MINIMAL, allow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core_redis.scripts import Verb
    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio

#: Of attributes that the records have already.
LATER: Final = Index("state", "rank")
WITH_IT: Final = evolve(ITEMS, indexes=(*ITEMS.indexes, LATER))


def opened(
    url: str, namespace: str, *collections: Collection
) -> AbstractAsyncContextManager[Store]:
    return open_store(url, namespace=namespace, durability="none", collections=collections)


async def listed(store: Store, state: str = "new") -> list[str]:
    page = await store.page(Query(partition=Partition("items", LATER, state), limit=1000))
    return [record.key for record in page.records]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scripts that are run."""
    run, verbs = Pipeline.run, list[str]()

    async def counted(pipeline: Pipeline, verb: Verb, arguments: Sequence[Any], **rest: Any) -> Any:
        verbs.append(verb.value)
        return await run(pipeline, verb, arguments, **rest)

    monkeypatch.setattr(Pipeline, "run", counted)
    return verbs


async def test_records_are_listed_by_an_index_that_was_added_after_them(
    server: Server, namespace: str
) -> None:
    async with opened(server.url, namespace, ITEMS, NOTES) as before:
        for number in range(300):
            key = f"{number:03}:x"
            await write(before, item(key, rank=f"{900 - number}"))
        await write(before, note("beside"))
        (held,) = await before.claim(claim())
    async with opened(server.url, namespace, WITH_IT, NOTES) as store:
        others = [f"{number:03}:x" for number in reversed(range(299))]
        assert await listed(store) == others
        assert await listed(store, "held") == [held.key]
        assert (await store.count([Partition("items", LATER, "new")]))[0].number == 299
        await write(store, item("later", rank="000"))
        assert (await listed(store))[0] == "later"
        assert len((await store.page(Query(partition=in_lane(), limit=1000))).records) == 300


async def test_an_index_is_built_once_and_in_bounded_parts(
    server: Server, namespace: str, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.indexing._NAMES", 10)
    async with opened(server.url, namespace, ITEMS) as before:
        assert "index" not in calls  # there is nothing in a namespace that is new
        for number in range(100):
            await write(before, item(f"{number:03}"))
    async with opened(server.url, namespace, WITH_IT) as store:
        assert calls.count("index") >= 10
        assert len(await listed(store)) == 100
    calls.clear()
    async with opened(server.url, namespace, WITH_IT) as store, store.sibling() as other:
        assert len(await listed(other)) == 100
    assert "index" not in calls


async def test_a_build_that_was_cut_short_goes_on_where_it_was(
    server: Server, namespace: str, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.indexing._NAMES", 10)
    async with opened(server.url, namespace, ITEMS) as before:
        for number in range(200):
            await write(before, item(f"{number:03}"))
    counted = Pipeline.run

    async def dying(pipeline: Pipeline, verb: Verb, arguments: Sequence[Any], **rest: Any) -> Any:
        if calls.count("index") == 10:
            raise ConnectionError("the process died")
        return await counted(pipeline, verb, arguments, **rest)

    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "run", dying)
        with pytest.raises(ConnectionError):
            async with opened(server.url, namespace, WITH_IT):
                pass
    (kept,) = server.ask("HMGET", f"cicd:{{{namespace}}}:meta", "indexing")
    assert kept.split()[1] != "0"
    async with opened(server.url, namespace, WITH_IT) as store:
        assert len(await listed(store)) == 200
    assert server.ask("HGET", f"cicd:{{{namespace}}}:meta", "indexing") == ""


async def test_what_does_not_decode_or_is_no_zset_holds_up_no_other_record(
    server: Server, namespace: str
) -> None:
    async with opened(server.url, namespace, ITEMS) as before:
        await write(before, item("a"), item("b"))
        await write(
            before, evolve(item("c"), attributes={"rank": "5:c", "state": "odd", "made-at": "0:c"})
        )
    prefix = f"cicd:{{{namespace}}}"
    server.ask("SET", f"{prefix}:r:items:b", "nonsense")
    server.ask("SET", f"{prefix}:i:items:state:rank:odd", "nonsense")
    async with opened(server.url, namespace, WITH_IT) as store:
        assert await listed(store) == ["a"]


async def test_a_user_who_may_not_look_for_records_is_told_what_to_give(
    start: Callable[..., Server], namespace: str
) -> None:
    server = start()
    async with opened(server.url, namespace, ITEMS) as before:
        await write(before, item("a"))
    url = allow(server, MINIMAL, namespace).partition("?")[0]
    with pytest.raises(UnsupportedCapability, match="scan"):
        async with opened(url, namespace, WITH_IT):
            pass
    server.ask("ACL", "SETUSER", "cicd", "+scan")
    async with opened(url, namespace, WITH_IT) as store:
        assert await listed(store) == ["a"]
