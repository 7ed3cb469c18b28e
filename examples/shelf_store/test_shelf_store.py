"""The shelf keeps the contract. Run by ``pytest`` in this folder, with the package installed."""

from __future__ import annotations

import atexit
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import pytest

from cicd_core.errors import CorruptRecord, UnrecognizedDatabase
from cicd_core.store.registry import open_store
from cicd_core.testing import (
    Capability,
    HistoryConformance,
    StoreConformance,
    StoreHarness,
    VirtualClock,
    store_machine,
)
from cicd_core.testing.samples import COLLECTIONS, item, write

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from shelf_store import ShelfBackend, open_shelf

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.store.registry import BackendFactory

    # The types that a type checker sees of every store, and of its opening function.
    _store: type[Store] = ShelfBackend
    _factory: BackendFactory = open_shelf

FOLDER: Final = TemporaryDirectory(prefix="shelf-")
atexit.register(FOLDER.cleanup)
URL: Final = f"shelf:///{FOLDER.name}"


class ShelfHarness(StoreHarness):
    """Shelves in one folder: a file a namespace, and a clock that only tests move."""

    #: A wait looks at the length of the file again and again.
    capabilities = frozenset(Capability) - {Capability.PUSHED_WAKE_UPS}

    def __init__(self) -> None:
        self.clock = VirtualClock()

    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        """Open the shelf of a namespace by its URL."""
        return open_store(URL, collections=collections, namespace=namespace, clock=self.clock)


class TestShelf(StoreConformance):
    """Each promise of the contract."""

    @pytest.fixture
    def harness(self) -> StoreHarness:
        return ShelfHarness()


class TestShelfHistories(HistoryConformance):
    """What many clients see at once, in several processes too, some of which die."""

    @pytest.fixture
    def harness(self) -> StoreHarness:
        return ShelfHarness()

    @pytest.fixture
    def store_url(self) -> str:
        return URL


TestShelfInLockstep = store_machine(ShelfHarness).TestCase


# What follows is the store's own affair: no suite can know how its backend breaks.


@pytest.mark.anyio
async def test_the_part_of_a_line_that_a_crash_left_is_cut_off(tmp_path: Path) -> None:
    whole = await journal_of(tmp_path, "a", "b")
    (tmp_path / "records.shelf").write_bytes(whole[:-20])
    async with open_store(f"shelf:///{tmp_path}", collections=COLLECTIONS) as store:
        assert set(await store.get("items", ["a", "b"])) == {"a"}
        await write(store, item("b"))
    async with open_store(f"shelf:///{tmp_path}", collections=COLLECTIONS) as store:
        assert set(await store.get("items", ["a", "b"])) == {"a", "b"}


@pytest.mark.anyio
async def test_a_journal_that_is_damaged_elsewhere_is_refused_and_left_alone(
    tmp_path: Path,
) -> None:
    damaged = (await journal_of(tmp_path, "a", "b")).replace(b"body of a", b"body of z")
    (tmp_path / "records.shelf").write_bytes(damaged)
    with pytest.raises(CorruptRecord, match="checksum"):
        async with open_store(f"shelf:///{tmp_path}", collections=COLLECTIONS):
            pass
    assert (tmp_path / "records.shelf").read_bytes() == damaged


@pytest.mark.anyio
async def test_the_file_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "records.shelf").write_bytes(b"Dear diary")
    with pytest.raises(UnrecognizedDatabase):
        async with open_store(f"shelf:///{tmp_path}", collections=COLLECTIONS):
            pass
    assert (tmp_path / "records.shelf").read_bytes() == b"Dear diary"


async def journal_of(folder: Path, *keys: str) -> bytes:
    """Return the journal of a store in which these items were put, one after the other."""
    async with open_store(f"shelf:///{folder}", collections=COLLECTIONS) as store:
        for key in keys:
            await write(store, item(key))
    return (folder / "records.shelf").read_bytes()
