"""What many clients of the memory and the SQLite store see at once has an explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.ids import IdSource
from cicd_core.store.registry import open_store
from cicd_core.testing import StoreHarness
from cicd_core.testing.conformance.histories import HistoryConformance
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection

IDS = IdSource()


class UrlHarness(StoreHarness):
    """Stores by their URL, on the clock that they have by default."""

    def __init__(self, url: str) -> None:
        self._url = url

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        return open_store(self._url, collections=collections, namespace=namespace)


class TestMemoryHistories(HistoryConformance):
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def harness(self) -> StoreHarness:
        return UrlHarness(f"memory://{IDS.commit_id()}")


class TestSQLiteHistories(HistoryConformance):
    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/store.db?synchronous=normal"

    @pytest.fixture
    def harness(self, store_url: str) -> StoreHarness:
        return UrlHarness(store_url)
