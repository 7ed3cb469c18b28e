"""A process that forks while its store is at work: usage ``forked_at_work.py URL CASE``.

``outlived``: a child goes on with a store of its own after the parent has closed its one.
``busy``: children are forked one after the other while several tasks write and open stores.
Prints the keys that another process finds in the end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING

import anyio

from cicd_core.store.registry import open_store
from cicd_core.testing.samples import COLLECTIONS, in_lane, item, keys_in, write

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cicd_core.store.contract import Store

URL, CASE = sys.argv[1:]
CHILDREN = 12


def forked(work: Callable[[], Coroutine[None, None, None]]) -> int:
    """Return the child that does the work."""
    process = os.fork()
    if process == 0:
        try:
            asyncio.run(work())
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    return process


async def write_with_a_store_of_its_own(key: str) -> None:
    async with open_store(URL, collections=COLLECTIONS) as store:
        await write(store, item(key))


async def ended_well(process: int) -> None:
    status = await anyio.to_thread.run_sync(lambda: os.waitpid(process, 0)[1])
    assert os.waitstatus_to_exitcode(status) == 0


async def outlive_the_parents_store() -> None:
    from_parent, to_child = os.pipe()
    from_child, to_parent = os.pipe()

    async def live() -> None:
        async with open_store(URL, collections=COLLECTIONS) as own:
            await write(own, item("child, early"))
            os.write(to_parent, b"-")
            os.read(from_parent, 1)
            await write(own, item("child, late"))
            os.write(to_parent, b"-")
            os.read(from_parent, 1)
            os._exit(0)  # nothing is closed: what was acknowledged is in the file all the same

    async with open_store(URL, collections=COLLECTIONS) as store:
        await write(store, item("parent"))
        process = forked(live)
        os.read(from_child, 1)
    os.write(to_child, b"-")
    os.read(from_child, 1)
    await print_keys()
    os.write(to_child, b"-")
    await ended_well(process)


async def fork_while_busy() -> None:
    async def go_on_writing(store: Store, name: str) -> None:
        number = 0
        while True:
            await write(store, item(f"{name}-{number}", lane="others"))
            number += 1

    async def go_on_opening() -> None:
        while True:
            async with open_store(URL, collections=COLLECTIONS):
                pass

    async with (
        open_store(URL, collections=COLLECTIONS) as store,
        anyio.create_task_group() as tasks,
    ):
        for name in ("a", "b"):
            tasks.start_soon(go_on_writing, store, name)
        tasks.start_soon(go_on_opening)
        for number in range(CHILDREN):
            await write(store, item(f"parent {number:02}"))
            await ended_well(forked(partial(write_with_a_store_of_its_own, f"child {number:02}")))
        tasks.cancel_scope.cancel()
    await print_keys()


async def print_keys() -> None:
    """Print the keys that another process finds."""
    here = [sys.executable, "-W", "ignore", __file__, URL, "keys"]
    found = await anyio.run_process(here, stderr=None)
    sys.stdout.write(found.stdout.decode())


async def show_keys() -> None:
    async with open_store(URL, collections=COLLECTIONS) as store:
        sys.stdout.write(f"{', '.join(sorted(await keys_in(store, in_lane())))}\n")


anyio.run({"outlived": outlive_the_parents_store, "busy": fork_while_busy, "keys": show_keys}[CASE])
