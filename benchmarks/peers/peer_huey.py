"""Huey: a pop from a list. It keeps no lease and acknowledges nothing, so `complete` costs it none.

Its calls block, so callers are threads.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from huey import RedisHuey
from measuring import TEXT, main

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator


class Huey:
    blocking = True
    lacks = frozenset({"bulk", "worker"})

    def __init__(self, huey: Any) -> None:
        self.huey = huey

        @self.huey.task()
        def build(text: str) -> None:
            del text

        self.build = build

    def enqueue(self) -> None:
        self.build(TEXT)

    def claim(self, caller: int) -> Any:
        del caller
        while (task := self.huey.dequeue()) is None:
            pass  # it waits a second at a time
        return task

    def complete(self, job: Any) -> None:
        del job

    def pick_up(self) -> Any:
        return self.claim(0)


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[Huey, None]:
    huey = RedisHuey("benchmark", url=options.url, results=False)
    yield Huey(huey)
    huey.storage.conn.close()


if __name__ == "__main__":
    main(opened)
