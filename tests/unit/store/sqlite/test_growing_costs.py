"""No call takes more steps of SQLite's machine, the more records there are."""

from __future__ import annotations

import atexit
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from cicd_core.testing import StoreHarness
from cicd_core.testing.samples import COLLECTIONS
from tests.growing_costs import CountedHarness, growing
from tests.unit.store.sqlite.files import opened

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator

    import pytest

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection

#: The machine tells of each so many steps.
GRAIN: Final = 10


class SteppingHarness(StoreHarness):
    """Stores in one file, which count the steps of SQLite's machine."""

    def __init__(self) -> None:
        folder = TemporaryDirectory(prefix="cicd-core-")
        atexit.register(folder.cleanup)
        self._path = Path(folder.name, "store.db")
        self._steps = 0

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        options = {"namespace": namespace, "synchronous": "normal"}
        async with opened(self._path, collections=collections, **options) as store:
            await store.reads.call(self._watch)
            await store.writes.call(self._watch)
            yield store

    def work(self) -> int | None:
        return self._steps

    def _watch(self, connection: sqlite3.Connection) -> None:
        connection.set_progress_handler(self._tell, GRAIN)

    def _tell(self) -> int:
        self._steps += GRAIN
        return 0


def walking_harness() -> StoreHarness:
    return CountedHarness(SteppingHarness(), walks=True)


def test_no_call_takes_more_steps_in_a_larger_store(capsys: pytest.CaptureFixture[str]) -> None:
    assert growing(f"{__name__}:SteppingHarness", capsys) == []


def test_a_count_that_walks_is_found_by_its_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert growing(f"{__name__}:walking_harness", capsys) == ["count"]
