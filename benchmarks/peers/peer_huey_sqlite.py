"""Huey over SQLite: a delete of the first row. It keeps no lease and acknowledges nothing.

Its calls block, so callers are threads, each with a connection.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from huey import Huey as AnyHuey
from huey.storage import SqliteStorage
from measuring import main
from peer_huey import Huey

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator


class DurableStorage(SqliteStorage):
    """It has no option for NORMAL, which the others are measured with."""

    synchronous = "full"

    def _create_connection(self) -> Any:
        connection = super()._create_connection()
        connection.execute(f"PRAGMA synchronous = {self.synchronous}")
        return connection


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[Huey, None]:
    DurableStorage.synchronous = options.durability
    path = options.url.removeprefix("sqlite:///")
    more = {"filename": path, "timeout": 60}
    yield Huey(AnyHuey("benchmark", storage_class=DurableStorage, results=False, **more))


if __name__ == "__main__":
    main(opened)
