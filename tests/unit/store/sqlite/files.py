"""What these tests share: opening a file, and looking into it past the store."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from cicd_core.store.registry import open_store
from cicd_core.store.sqlite import SQLiteBackend
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from cicd_core.store.records import Collection


@asynccontextmanager
async def opened(
    path: Path, *, collections: Iterable[Collection] = COLLECTIONS, **options: Any
) -> AsyncGenerator[SQLiteBackend, None]:
    """Open the backend of a store on a file."""
    async with open_store(f"sqlite:///{path}", collections=collections, **options) as store:
        assert isinstance(store.backend, SQLiteBackend)
        yield store.backend


def connect(path: Path) -> closing[sqlite3.Connection]:
    """Open a file as another program would, each statement a transaction."""
    return closing(sqlite3.connect(path, isolation_level=None, timeout=5))


def query(path: Path, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Ask a file, past the store."""
    with connect(path) as connection:
        return connection.execute(statement, parameters).fetchall()


async def execute(store: SQLiteBackend, statement: str) -> list[tuple[Any, ...]]:
    """Execute a statement on a store's writing connection."""
    return await store.writes.call(lambda connection: connection.execute(statement).fetchall())


def names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(each.name for each in folder.iterdir())


def content(path: Path) -> bytes:
    """Return what a file holds."""
    return path.read_bytes()


async def run_script(name: str, *arguments: object) -> list[str]:
    """Run a script of this folder in a process of its own, and return the lines that it printed."""
    command = [sys.executable, str(Path(__file__).with_name(name)), *map(str, arguments)]
    done = await anyio.run_process(command, stderr=None)
    return done.stdout.decode().splitlines()


def fill(path: Path, data: bytes) -> None:
    """Make a file of some bytes."""
    path.write_bytes(data)
