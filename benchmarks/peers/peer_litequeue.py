"""litequeue: one table, by its `put`, `pop` and `done`. It keeps no lease.

Its calls block, so callers are threads, each with a connection.
"""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from litequeue import LiteQueue
from measuring import TEXT, main

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator


class Litequeue:
    blocking = True
    lacks = frozenset({"worker", "pickup"})

    def __init__(self, path: str, synchronous: str) -> None:
        self.path, self.synchronous = path, synchronous
        self.own = threading.local()

    @property
    def queue(self) -> LiteQueue:
        if not hasattr(self.own, "queue"):
            self.own.queue = LiteQueue(self.path, timeout=60.0)
            self.own.queue.conn.execute(f"PRAGMA synchronous = {self.synchronous}")
        return self.own.queue

    def enqueue(self) -> None:
        self.queue.put(TEXT)

    def enqueue_many(self, number: int) -> None:
        with self.queue.transaction():
            for _ in range(number):
                self.queue.put(TEXT)

    def claim(self, caller: int) -> Any:
        del caller
        found = self.queue.pop()
        assert found
        return found

    def complete(self, job: Any) -> None:
        self.queue.done(job.message_id)


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[Litequeue, None]:
    yield Litequeue(options.url.removeprefix("sqlite:///"), options.durability)


if __name__ == "__main__":
    main(opened)
