"""Who waits for work hears of it, whatever becomes of the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from cicd_core.errors import StoreUnavailable
from cicd_core.testing.samples import (
    claim,
    in_lane,
    item,
    watch,
    write,
)
from cicd_core_redis.pipeline import Pipeline
from cicd_core_redis.scripts import Verb
from tests.patience import PATIENCE
from tests.redis.stores import (
    SOON,
    insist,
    opened_hasty,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.contract import Store
    from tests.redis.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio


class Waiter:
    """Somebody who waits for work, and how each of his waits ended."""

    def __init__(self, store: Store) -> None:
        """Wait in one lane."""
        self._store = store
        self._waits = 0
        #: How many looks, one a wait, have been answered.
        self.looks = 0
        self.ends: list[bool] = []

    async def wait(self) -> None:
        """Wait once."""
        lane = [watch(in_lane())]
        self.ends.append(await insist(lambda: self._store.wait(lane, PATIENCE)))

    async def is_listening(self) -> None:
        """Return when he who is to wait next has subscribed, has looked, and has found nothing."""
        self._waits += 1
        while self.looks < self._waits:
            await anyio.lowlevel.checkpoint()
        await settle()


@pytest.fixture
def waiter(store: Store, monkeypatch: pytest.MonkeyPatch) -> Waiter:
    waiter = Waiter(store)
    run = Pipeline.run

    async def counted(pipeline: Pipeline, verb: Verb, arguments: Sequence[Any], **rest: Any) -> Any:
        answer = await run(pipeline, verb, arguments, **rest)
        waiter.looks += verb is Verb.LOOK and arguments[0] > 0  # at nothing: it asks for the time
        return answer

    monkeypatch.setattr(Pipeline, "run", counted)
    return waiter


async def test_who_waits_wakes_when_the_connection_is_lost_and_hears_again_after(
    proxy: FaultProxy, store: Store, waiter: Waiter
) -> None:
    for number in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter.wait)
            await waiter.is_listening()
            await proxy.cut_all()
        assert waiter.ends == [True] * (2 * number + 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter.wait)
            await waiter.is_listening()
            await write(store, item(f"{number}"))
        await store.claim(claim())
        assert waiter.ends == [True] * (2 * number + 2)


async def test_who_waits_notices_that_nothing_is_heard_any_more(
    proxy: FaultProxy, store: Store, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.listening._QUIET", 0.02)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter.wait)
        await waiter.is_listening()
        proxy.black_hole()
    assert waiter.ends == [True]
    monkeypatch.setattr("cicd_core_redis.listening._QUIET", PATIENCE)
    await proxy.heal()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter.wait)
        await waiter.is_listening()
        await write(store, item("a"))
    assert waiter.ends == [True, True]


async def test_who_waits_in_vain_stays_subscribed_however_quiet_it_is(
    proxy: FaultProxy, store: Store, waiter: Waiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.listening._QUIET", 0.4)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter.wait)
        await waiter.is_listening()
        connections = proxy.accepted
        asked = proxy.requests["SSUBSCRIBE"]
        while proxy.requests["SSUBSCRIBE"] == asked:  # noqa: ASYNC110 - no event tells of it
            await anyio.sleep(0.01)
        assert waiter.ends == []
        await write(store, item("a"))
    assert proxy.accepted == connections


async def test_who_begins_to_wait_while_the_server_is_away_is_told(
    proxy: FaultProxy, store: Store
) -> None:
    await proxy.refuse()
    await proxy.cut_all()
    await settle()
    with pytest.raises(StoreUnavailable, match=r"cannot listen to .*wait again"):
        await store.wait([watch(in_lane())], PATIENCE)
    await proxy.heal()
    assert not await insist(lambda: store.wait([watch(in_lane())], 0))


async def test_who_waits_is_held_up_no_longer_than_by_any_other_call(
    proxy: FaultProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.listening._QUIET", 3600.0)
    async with opened_hasty(proxy.url, namespace=namespace) as hasty:
        assert not await insist(lambda: hasty.wait([watch(in_lane())], SOON))
        proxy.black_hole()  # what it subscribes to from now on is never confirmed
        with anyio.fail_after(PATIENCE), pytest.raises(StoreUnavailable):
            await hasty.wait([watch(in_lane("other"))], SOON)
        await proxy.heal()
        await insist(lambda: write(hasty, item("a", lane="other")))
        assert await insist(lambda: hasty.wait([watch(in_lane("other"))], SOON))
