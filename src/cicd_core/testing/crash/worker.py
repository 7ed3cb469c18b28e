"""One incarnation of a worker: it opens the store and uses it until it is killed."""

from __future__ import annotations

import logging
import os
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import anyio

from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import StoreUnavailable
from cicd_core.persistence.collections import COLLECTIONS
from cicd_core.store.registry import open_store
from cicd_core.testing.crash.fault_points import kill_this_process, pointed
from cicd_core.testing.crash.fault_setup import arm_process
from cicd_core.testing.crash.journal import Journal
from cicd_core.testing.crash.jumping_clock import make_wall_clock_jump
from cicd_core.testing.crash.memory import Memory
from cicd_core.testing.crash.mishaps import meet_with
from cicd_core.testing.crash.plan import SETTINGS, drawn
from cicd_core.testing.crash.workload import REFUSALS, Hand

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.store.contract import Store
    from cicd_core.testing.crash.plan import WorkerOrder


#: How long to wait before a store that is away is opened again, in seconds.
_PAUSE: Final = 0.05


def work(order: WorkerOrder) -> None:
    """Do what a worker does, in this process, which does nothing else; it does not return."""
    logging.disable(logging.WARNING)  # each lease that is lost is a warning, and many are lost
    if order.jumps:
        make_wall_clock_jump(drawn(order.seed, "clock", order.generation))
    arm_process(order.bomb)
    anyio.run(_work, order)


def wrapped(store: Store, wrap: str | None) -> Store:
    """Return the store that a ``module:function`` makes of this one."""
    if wrap is None:
        return store
    module, _, name = wrap.partition(":")
    function = cast("Callable[[Store], Store]", getattr(import_module(module), name))
    return function(store)


async def _end_with(parent: int) -> None:
    """End when the process has gone that would have killed this one."""
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of it
        await anyio.sleep(1.0)
    kill_this_process()


async def _open_patiently(order: WorkerOrder, stack: AsyncExitStack) -> Store:
    """Open the store, however long its server is away: something may kill that, too."""
    passing = (StoreUnavailable, *(REFUSALS if order.refusals else ()))
    while True:
        try:
            opened = open_store(order.store, collections=COLLECTIONS)
            return await stack.enter_async_context(opened)
        except passing:
            await anyio.sleep(_PAUSE)


async def _work(order: WorkerOrder) -> None:
    words = (order.slot, order.generation)
    journal = Journal(Path(order.journal))
    memory = Memory()
    if order.inherited is not None:
        memory.inherit(Path(order.inherited))
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        tasks.start_soon(_end_with, os.getppid())
        opened = await _open_patiently(order, stack)
        store = wrapped(opened, order.wrap)
        store = pointed(store, order.bomb, drawn(order.seed, "point", *words))
        plane = ControlPlane(store, settings=SETTINGS)
        if order.accident is not None:
            own = ControlPlane(opened, settings=SETTINGS)
            tasks.start_soon(meet_with, order.accident, own, journal, order.name)
        for number in range(order.tasks + 2):
            random = drawn(order.seed, "hand", *words, number)
            hand = Hand(plane, journal, memory, random, name=order.name, refusals=order.refusals)
            if number == order.tasks:
                tasks.start_soon(hand.sweep)
            elif number > order.tasks:
                tasks.start_soon(hand.beat, f"lab-{order.slot}")
            else:
                tasks.start_soon(hand.run)
