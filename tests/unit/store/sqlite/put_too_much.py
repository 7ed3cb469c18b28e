"""Write what the system refuses: python put_too_much.py FILE file-size|user.

Prints the name of each error, and at the end the keys that are there.
"""

# ruff: noqa: T201 - the test reads what is printed
from __future__ import annotations

import os
import resource
import sys

import anyio

from cicd_core.errors import CicdError
from cicd_core.store.registry import StoreURL
from cicd_core.store.sqlite import open_sqlite
from cicd_core.testing.samples import COLLECTIONS, item, write

LARGE = 300_000
NOBODY = 65534


async def main(path: str, refusal: str) -> None:
    if refusal == "user" and os.getuid() == 0:  # nothing is forbidden to root
        os.setuid(NOBODY)
    # Not by its name: an entry point is looked up, which nobody may do where root's Python is.
    url = StoreURL.parse(f"sqlite:///{path}")
    async with open_sqlite(url, collections=COLLECTIONS) as store:
        await write(store, item("a"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        try:
            await write(store, item("b", body=b"x" * LARGE))
        except CicdError as error:
            print(type(error).__name__)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        await write(store, item("c"))
        print(*sorted(await store.get("items", ["a", "b", "c"])))


if __name__ == "__main__":
    try:
        anyio.run(main, sys.argv[1], sys.argv[2])
    except CicdError as refused:
        print(type(refused).__name__)
