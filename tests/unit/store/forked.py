"""A process that forks with a store open: usage ``forked.py URL``; prints what became of it.

The child asks the store that it inherited, closes it, and opens one of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import sys
import traceback
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import StoreClosed
from cicd_core.store.registry import open_store
from cicd_core.testing.conformance.cancellation import CALLS
from cicd_core.testing.samples import COLLECTIONS, in_lane, item, keys_in, write

if TYPE_CHECKING:
    from cicd_core.store.contract import Store

URL = sys.argv[1]


async def use_what_was_inherited(store: Store) -> None:
    for name, call in CALLS.items():
        with pytest.raises(StoreClosed, match=f"process {os.getpid()} is a fork"):
            await call(store, name)
    close = getattr(store, "close", None)  # what the end of the block that opened it does
    if inspect.iscoroutinefunction(close):
        await close()


async def use_one_of_its_own(key: str) -> None:
    async with open_store(URL, collections=COLLECTIONS) as own:
        await write(own, item(key))


def child(store: Store, key: str) -> None:
    asyncio.run(use_what_was_inherited(store))
    asyncio.run(use_one_of_its_own(key))


def fork(store: Store) -> None:
    """Fork, and end the child at once."""
    process = os.fork()
    if process == 0:
        try:
            child(store, "of a fork")
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    expect_success(process)


def start_worker(store: Store) -> None:
    """Fork as multiprocessing does."""
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=child, args=(store, "of a worker"))
    worker.start()
    worker.join()
    assert worker.exitcode == 0


def expect_success(process: int) -> None:
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0


async def main() -> None:
    async with open_store(URL, collections=COLLECTIONS) as store:
        await write(store, item("before"))
        fork(store)
        start_worker(store)
        await write(store, item("after"))
        sys.stdout.write(f"{', '.join(sorted(await keys_in(store, in_lane())))}\n")


anyio.run(main)
