"""The costs of a store by its own counts, and a store whose count of records grows with them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from cicd_core.store.records import Query
from cicd_core.testing import StoreHarness
from cicd_core.testing.cost.__main__ import main
from cicd_core.testing.passing_store import PassingStore
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import pytest

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection, Count, Partition

#: Times do not count: the machine does other things too.
_SIZES: Final = ["--small", "200", "--large", "1000", "--calls", "5", "--bound", "1000000"]


class WalkingStore(PassingStore):
    """It counts records one by one."""

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        """Return the right numbers."""
        for partition in partitions:
            await self.page(Query(partition=partition, limit=1000))
        return await super().count(partitions)


class CountedHarness(StoreHarness):
    """Opens stores of another harness, which count what they do."""

    def __init__(self, harness: StoreHarness, *, walks: bool = False) -> None:
        """Take the other harness, and whether counts walk."""
        self.harness = harness
        self._walks = walks

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        async with self.harness.open(namespace, collections) as store:
            yield WalkingStore(store) if self._walks else store

    def work(self) -> int | None:
        return self.harness.work()


def growing(place: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the calls whose costs grow, of the harness ``MODULE:NAME``; all were counted."""
    code = main(["--harness", place, *_SIZES])
    head, *lines, _ = capsys.readouterr().out.splitlines()
    assert "counted" in head
    assert all(" -> " in line for line in lines)
    found = [line.split("  ")[0] for line in lines if line.endswith("GROWS")]
    assert code == (1 if found else 0)
    return found
