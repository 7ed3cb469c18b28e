"""The SQLite store keeps the contract; all tests share one file, each in a namespace of its own."""

from __future__ import annotations

import atexit
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from cicd_core.store.registry import open_store
from cicd_core.testing import (
    Capability,
    StoreConformance,
    StoreHarness,
    VirtualClock,
    store_machine,
)
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.store.registry import BackendFactory
    from cicd_core.store.sqlite import SQLiteBackend, open_sqlite

    # What the type checker is told of every store and of what opens it.
    _store: type[Store] = SQLiteBackend
    _factory: BackendFactory = open_sqlite


class SQLiteHarness(StoreHarness):
    """Stores in one file, with one clock that only moves on."""

    #: Other handles' commits are found by a poll.
    capabilities = frozenset(Capability) - {Capability.PUSHED_WAKE_UPS}

    def __init__(self, path: Path) -> None:
        self.clock = VirtualClock()
        self._path = path
        self._url = f"sqlite:///{path}?synchronous=normal"

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        return open_store(self._url, collections=collections, namespace=namespace, clock=self.clock)

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        return damage_row(self._path, namespace, collection, key)


def damage_row(path: Path, namespace: str, collection: str, key: str) -> bool:
    """Make a text of a record's row no UTF-8; return whether there is such a row."""
    with closing(sqlite3.connect(path)) as connection, connection:
        spaces = connection.execute("SELECT id FROM namespaces WHERE name = ?", (namespace,))
        update = f'UPDATE "c_{collection}" SET commit_id = CAST(? AS TEXT)'  # noqa: S608 - a
        # name of the suite's own
        parameters = (b"no \xff UTF-8", *spaces.fetchone(), key)
        done = connection.execute(f"{update} WHERE ns = ? AND key = ?", parameters)
        return done.rowcount == 1


@cache
def shared_harness() -> SQLiteHarness:
    """The harness of every test and example in this process."""
    folder = TemporaryDirectory(prefix="cicd-core-")
    atexit.register(folder.cleanup)
    return SQLiteHarness(Path(folder.name, "store.db"))


class TestSQLiteStore(StoreConformance):
    @pytest.fixture
    def harness(self) -> StoreHarness:
        return shared_harness()


TestSQLiteInLockstep = store_machine(shared_harness).TestCase
