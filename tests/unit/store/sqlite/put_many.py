"""Put items one after the other, in a process of its own: python put_many.py FILE NAME NUMBER."""

from __future__ import annotations

import sys

import anyio

from cicd_core.store.registry import open_store
from cicd_core.testing.samples import COLLECTIONS, event_of, item, write


async def main(path: str, name: str, number: str) -> None:
    async with open_store(f"sqlite:///{path}", collections=COLLECTIONS) as store:
        for each in range(int(number)):
            key = f"{name}.{each}"
            await write(store, item(key), events=[event_of(key)])


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
