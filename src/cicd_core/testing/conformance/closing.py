"""Closed stores: they refuse every call, and do not affect other stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.errors import StoreClosed
from cicd_core.testing.conformance.cancellation import CALLS
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import item, read, write

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

    async def test_the_close_of_a_store_leaves_others_on_the_same_data_open(
        self, store: Store, harness: StoreHarness, namespace: str
    ) -> None:
        async with harness.open(namespace) as other, other.sibling() as sibling:
            await write(sibling, item("a"))
        assert (await read(store, "a")).key == "a"
        await write(store, item("b"))
