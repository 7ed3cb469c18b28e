"""``wait``: it checks first, and then notices every new record."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import InvalidInput
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    PLAIN,
    SECOND,
    claim,
    in_lane,
    in_state,
    item,
    remove,
    watch,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Watch
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness

#: In microseconds.
DAY = 86400 * SECOND
#: Seconds that a test takes only if a wake-up was lost.
LONG = 60.0


async def woken(
    harness: StoreHarness,
    store: Store,
    watches: list[Watch],
    deed: Callable[[], Coroutine[Any, Any, Any]],
) -> bool:
    """Return whether ``deed`` woke a wait that started before it."""
    answers: list[bool] = []

    async def wait() -> None:
        answers.append(await store.wait(watches, LONG))

    with anyio.move_on_after(harness.patience):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await let_it_begin(store)
            await deed()
            await harness.settle()
    return answers == [True]


async def let_it_begin(store: Store) -> None:
    """Wait until a wait that has just started has checked, and listens.

    No store reports this; but by then it has answered later calls.
    """
    for _ in range(8):
        await store.get(PLAIN.name, ["none"])
        await anyio.lowlevel.checkpoint()


class WaitPromises(Suite):
    """No wake-up is lost."""

    async def test_a_wait_for_an_existing_record_answers_at_once(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        with anyio.fail_after(harness.patience):
            assert await store.wait([watch(in_lane())], LONG)
        assert await store.wait([watch(in_lane())], 0)

    async def test_a_wait_without_a_record_ends_at_its_timeout(self, store: Store) -> None:
        assert not await store.wait([watch(in_lane())], 0)
        assert not await store.wait([watch(in_lane())], 0.01)
        assert not await store.wait([], 0.01)

    async def test_a_wait_lasts_as_long_as_its_timeout(self, store: Store) -> None:
        lasted: list[float] = []
        for _ in range(4):  # the shortest one counts: a busy machine makes each of them longer
            begun = anyio.current_time()
            assert not await store.wait([watch(in_lane())], 0.1)
            lasted.append(anyio.current_time() - begun)
        assert min(lasted) > 0.09  # timers may be early by a tick

    async def test_a_wait_does_not_end_before_a_record_comes(
        self, store: Store, harness: StoreHarness
    ) -> None:
        answers: list[bool] = []

        async def wait() -> None:
            answers.append(await store.wait([watch(in_lane())], LONG))

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await let_it_begin(store)
                await write(store, item("elsewhere", lane="other"))
                await let_it_begin(store)
                assert answers in ([], [True]), "a wait gave up long before its timeout"
                await write(store, item("a"))
                await harness.settle()
        assert answers == [True]

    async def test_a_claim_by_another_store_wakes_a_waiter(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        async with harness.open(namespace) as other:
            held = [watch(in_state("held"))]
            assert await woken(harness, store, held, lambda: other.claim(claim()))

    async def test_a_commit_wakes_a_waiter(self, store: Store, harness: StoreHarness) -> None:
        assert await woken(harness, store, [watch(in_lane())], lambda: write(store, item("a")))

    async def test_a_commit_by_another_store_wakes_a_waiter(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        async with harness.open(namespace) as other:
            assert await woken(harness, store, [watch(in_lane())], lambda: write(other, item("a")))

    async def test_a_commit_in_another_thread_wakes_a_waiter(
        self, store: Store, harness: StoreHarness, anyio_backend_name: str
    ) -> None:
        async def there() -> None:
            async with store.sibling() as sibling:
                await write(sibling, item("a"))

        def thread() -> None:
            anyio.run(there, backend=anyio_backend_name)

        deed = partial(anyio.to_thread.run_sync, thread)
        assert await woken(harness, store, [watch(in_lane())], deed)

    async def test_a_claim_that_moves_a_record_wakes_a_waiter(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        assert await woken(harness, store, [watch(in_state("held"))], lambda: store.claim(claim()))

    async def test_any_of_several_watches_wakes(self, store: Store, harness: StoreHarness) -> None:
        watches = [watch(in_lane("other")), watch(in_state("odd")), watch(in_lane())]
        assert await woken(harness, store, watches, lambda: write(store, item("a")))

    async def test_a_watch_looks_only_above_its_bound(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a", rank="3"), item("b", rank="5"))
        await harness.settle()
        assert await store.wait([watch(in_lane(), after="3:a")], 0)
        assert not await store.wait([watch(in_lane(), after="5:b")], 0)
        above = [watch(in_lane(), after="5:b")]
        # Its key is below the bound, its sort value above.
        assert await woken(harness, store, above, lambda: write(store, item("0", rank="6")))

    async def test_of_two_watches_of_one_partition_the_wider_one_counts(
        self, store: Store, harness: StoreHarness
    ) -> None:
        for watches in ([None, "5:z"], ["5:z", None], ["5:z", "3:a"]):
            lane = f"lane {watches}"
            both = [watch(in_lane(lane), after) for after in watches]
            put = item(f"a {watches}", lane=lane, rank="4")
            assert await woken(harness, store, both, partial(write, store, put))

    async def test_a_record_that_moves_above_the_bound_wakes(
        self, store: Store, harness: StoreHarness
    ) -> None:
        version = (await write(store, item("a", rank="3")))["a"]
        await harness.settle()
        above = [watch(in_lane(), after="3:a")]
        moved = item("a", expected=version, rank="4")
        assert await woken(harness, store, above, lambda: write(store, moved))

    async def test_every_waiter_is_woken(self, store: Store, harness: StoreHarness) -> None:
        answers: list[bool] = []

        async def wait() -> None:
            answers.append(await store.wait([watch(in_lane())], LONG))

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(wait)
                await write(store, item("a"))
                await harness.settle()
        assert answers == [True] * 10

    async def test_no_wake_up_is_lost_in_any_order_of_wait_and_write(
        self, store: Store, harness: StoreHarness
    ) -> None:
        async def wait(lane: str) -> None:
            assert await store.wait([watch(in_lane(lane))], LONG)

        async def put(lane: str, patience: int) -> None:
            for _ in range(patience):
                await anyio.lowlevel.checkpoint()
            await write(store, item(f"in {lane}", lane=lane))
            await harness.settle()

        with anyio.fail_after(harness.patience):
            for number in range(20):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait, f"lane{number}")
                    tasks.start_soon(put, f"lane{number}", number)

    async def test_a_wait_after_the_removal_of_a_record_waits_again(
        self, store: Store, harness: StoreHarness
    ) -> None:
        version = (await write(store, item("a")))["a"]
        await remove(store, "a", version)
        await harness.settle()
        assert not await store.wait([watch(in_lane())], 0)

    async def test_a_cancelled_wait_does_not_affect_others(
        self, store: Store, harness: StoreHarness
    ) -> None:
        with anyio.move_on_after(0.01) as cancelled:
            await store.wait([watch(in_lane())], LONG)
        assert cancelled.cancelled_caught
        assert await woken(harness, store, [watch(in_lane())], lambda: write(store, item("a")))

    async def test_a_wait_that_ends_does_not_affect_others(
        self, store: Store, harness: StoreHarness
    ) -> None:
        answers: list[bool] = []

        async def wait() -> None:
            answers.append(await store.wait([watch(in_lane()), watch(in_lane("none"))], LONG))

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await let_it_begin(store)
                await store.wait([watch(in_lane())], 0.01)
                with anyio.move_on_after(0.01):
                    await store.wait([watch(in_lane())], LONG)
                tasks.start_soon(wait)
                await let_it_begin(store)
                await write(store, item("a"))
                await harness.settle()
        assert answers == [True, True]

    async def test_a_record_that_will_expire_wakes_a_waiter(
        self, store: Store, harness: StoreHarness, clock: StoreClock
    ) -> None:
        lasts = item("a", expires_at=await clock.now() + DAY)
        assert await woken(harness, store, [watch(in_lane())], lambda: write(store, lasts))
        assert await store.wait([watch(in_lane())], 0)

    async def test_a_wait_without_an_end_is_woken(
        self, store: Store, harness: StoreHarness
    ) -> None:
        answers: list[bool] = []

        async def wait(lane: str, seconds: float) -> None:
            answers.append(await store.wait([watch(in_lane(lane))], seconds))

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                for lane, seconds in (("red", math.inf), ("blue", 1e10)):
                    tasks.start_soon(wait, lane, seconds)
                await let_it_begin(store)
                await write(store, item("a", lane="red"), item("b", lane="blue"))
                await harness.settle()
        assert answers == [True, True]

    async def test_a_timeout_below_zero_is_refused(self, store: Store) -> None:
        for wrong in (-1.0, float("nan")):
            with pytest.raises(InvalidInput) as refused:
                await store.wait([watch(in_lane())], wrong)
            assert refused.value.field == "timeout"
