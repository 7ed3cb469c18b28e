"""Namespaces are separate; stores on one namespace share its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.store.records import Committed, Increment, Renewal
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
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness


class NamespacePromises(Suite):
    """Namespaces are separate; stores on one namespace share its data."""

    async def test_namespaces_do_not_see_each_other(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        await write(store, item("a"), events=[event_of("a")], increments=[Increment("n")])
        await harness.settle()
        async with harness.open(f"{namespace}-other") as other:
            assert await find(other, "a") is None
            assert await keys_in(other, in_lane()) == []
            assert await numbers_in(other, in_lane()) == [0]
            assert await other.claim(claim()) == []
            assert not await other.wait([watch(in_lane())], 0)
            assert await whole_log(other) == []
            assert dict((await other.counters("")).values) == {}

    async def test_the_same_ids_in_two_namespaces_are_different(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        mine = claim(1)
        async with harness.open(f"{namespace}-other") as other:
            for number, one in enumerate((store, other)):
                body = f"{number}".encode()
                answer = await apply(one, commit(item("a", body=body), commit_id="once"))
                assert isinstance(answer, Committed)
            await harness.settle()
            (here,) = await store.claim(mine)
            assert (await find(other, "a")) is not None
            assert (await read(other, "a")).lease is None
            renewal = Renewal(
                collection="items", key="a", claim_id=mine.claim_id, duration=60 * SECOND
            )
            assert await other.renew([renewal]) == [None]
            (there,) = await other.claim(mine)
            assert (here.body, there.body) == (b"0", b"1")
            assert await store.claim(mine) == [here]
            assert await other.claim(mine) == [there]
            await remove(other, "a", there.version)
            await harness.settle()
            assert await other.claim(mine) == []
            assert await store.claim(mine) == [here]

    async def test_two_stores_on_one_namespace_share_everything(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        async with harness.open(namespace) as other:
            await write(store, item("a"), events=[event_of("a")], increments=[Increment("n")])
            await harness.settle()
            assert (await read(other, "a")).body == b"body of a"
            (held,) = await other.claim(claim())
            assert (await read(store, "a")).version == held.version
            assert await whole_log(store) == await whole_log(other)
            assert dict((await other.counters("n")).values) == {"n": 1}

    async def test_a_sibling_shares_everything(self, store: Store) -> None:
        async with store.sibling() as sibling:
            version = (await write(sibling, item("a")))["a"]
            assert (await read(store, "a")).version == version
        assert (await read(store, "a")).version == version  # and lives on without it
