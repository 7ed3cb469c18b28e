"""Pushed wake-ups: they come without a timer, so without polling."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from cicd_core.testing.conformance.suite import Suite, require
from cicd_core.testing.conformance.waiting import LONG, let_it_begin
from cicd_core.testing.harness import Capability
from cicd_core.testing.samples import claim, in_lane, in_state, item, watch, write
from cicd_core.testing.stoppable_timers import Signal, StoppableTimers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Watch
    from cicd_core.testing.harness import StoreHarness


class PushPromises(Suite):
    """Another handle's write wakes a waiter while all timers of the waiter are stopped.

    A store that polls never notices the write then.
    """

    async def test_a_commit_of_another_handle_is_pushed_to_a_waiter(
        self, store: Store, harness: StoreHarness, anyio_backend_name: str
    ) -> None:
        require(harness, Capability.PUSHED_WAKE_UPS)
        # Its key is below the bound, its sort value above.
        deed = partial(write, store, item("0", rank="5"))
        waiter = _Waiter(store, [watch(in_lane(), after="3:z")], harness.patience)
        assert await waiter.is_woken_by(deed, anyio_backend_name), "no push has woken the waiter"

    async def test_a_claim_of_another_handle_is_pushed_to_a_waiter(
        self, store: Store, harness: StoreHarness, anyio_backend_name: str
    ) -> None:
        require(harness, Capability.PUSHED_WAKE_UPS)
        await write(store, item("a"))
        await harness.settle()
        deed = partial(store.claim, claim())
        waiter = _Waiter(store, [watch(in_state("held"))], harness.patience)
        assert await waiter.is_woken_by(deed, anyio_backend_name), "no push has woken the waiter"


class _Waiter:
    """Waits on a sibling, in a separate thread and event loop whose timers are stopped."""

    def __init__(self, store: Store, watches: list[Watch], patience: float) -> None:
        self._store = store
        self._watches = watches
        self._patience = patience
        self._timers = StoppableTimers()
        self._listens, self._ended, self._is_over = Signal(), Signal(), Signal()
        self._answers: list[bool] = []

    async def is_woken_by(self, deed: Callable[[], Awaitable[object]], backend: str) -> bool:
        """Return whether a wait that started before the action has ended without a timer."""
        with self._timers.held_in_threads():
            return await self._is_woken_by(deed, backend)

    async def _is_woken_by(self, deed: Callable[[], Awaitable[object]], backend: str) -> bool:
        was_woken = False
        async with anyio.create_task_group() as tasks:
            run = partial(self._timers.run, self._run, backend)
            tasks.start_soon(anyio.to_thread.run_sync, run)
            try:
                await self._listens.wait(self._patience)
                await deed()
                was_woken = await self._ended.wait(self._patience)
            finally:
                self._is_over.set()
                self._timers.resume()
        return was_woken and self._answers == [True]

    async def _run(self) -> None:
        async with self._store.sibling() as sibling, anyio.create_task_group() as tasks:
            tasks.start_soon(self._wait, sibling)
            await let_it_begin(sibling)
            self._timers.stop()
            self._listens.set()
            while not self._is_over.is_set():  # noqa: ASYNC110 - it is set in another thread
                await anyio.sleep(0.01)  # it blocks until the timers run
            tasks.cancel_scope.cancel()

    async def _wait(self, sibling: Store) -> None:
        self._answers.append(await sibling.wait(self._watches, LONG))
        self._ended.set()
