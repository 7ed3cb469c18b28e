"""Closed stores: they refuse every call, and do not affect other stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import StoreClosed, StoreError, StoreUnavailable
from cicd_core.testing.conformance.cancellation import CALLS
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.conformance.waiting import LONG, let_it_begin
from cicd_core.testing.samples import in_lane, item, read, watch, write

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness


class ClosingPromises(Suite):
    """A closed store refuses calls: their effects would not be reliable."""

    async def test_every_verb_of_a_closed_store_is_refused(
        self, harness: StoreHarness, namespace: str
    ) -> None:
        async with harness.open(namespace) as closed:
            await write(closed, item("a"))
        for name, call in CALLS.items():
            with pytest.raises(StoreClosed):
                await call(closed, f"after {name}")

    async def test_a_close_ends_the_waits_of_its_store_and_of_no_other(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        ended: list[StoreError] = []
        answers: list[bool] = []

        async def wait_beside() -> None:
            answers.append(await store.wait([watch(in_lane())], LONG))

        async def wait(closing: Store) -> None:
            try:
                await closing.wait([watch(in_lane("none"))], LONG)
            except (StoreClosed, StoreUnavailable) as error:
                ended.append(error)

        with anyio.fail_after(harness.patience):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_beside)
                async with (
                    anyio.create_task_group() as beside,
                    harness.open(namespace) as other,
                ):
                    beside.start_soon(wait, other)
                    await let_it_begin(other)
                assert len(ended) == 1
                assert answers == []
                await write(store, item("a"))
                await harness.settle()
        assert answers == [True]

    async def test_the_close_of_a_store_leaves_others_on_the_same_data_open(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        async with harness.open(namespace) as other, other.sibling() as sibling:
            await write(sibling, item("a"))
        assert (await read(store, "a")).key == "a"
        await write(store, item("b"))
