"""One incarnation of a worker: it opens the store and uses it until it is killed."""

from __future__ import annotations

import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from cicd_core.testing.crash.access import open_access
from cicd_core.testing.crash.calls import FORMAT
from cicd_core.testing.crash.fault_points import kill_this_process
from cicd_core.testing.crash.fault_setup import arm_process
from cicd_core.testing.crash.jumping_clock import make_wall_clock_jump
from cicd_core.testing.crash.memory import Memory
from cicd_core.testing.crash.mishaps import meet_with
from cicd_core.testing.crash.plan import drawn
from cicd_core.testing.crash.workload import Hand
from cicd_core.testing.recording.recorder import CallRecorder

if TYPE_CHECKING:
    from cicd_core.testing.crash.calls import LabAnswer, LabQuestion
    from cicd_core.testing.crash.plan import WorkerOrder


def work(order: WorkerOrder) -> None:
    """Run a worker in this process; does not return."""
    logging.disable(logging.WARNING)  # each lost lease is a warning, and there are many
    if order.jumps:
        make_wall_clock_jump(drawn(order.seed, "clock", order.generation))
    arm_process(order.kill_point)
    with Path(order.journal).open("a", encoding="utf-8") as file:
        anyio.run(_work, order, CallRecorder(FORMAT.journal(file)))


async def _end_with(parent: int) -> None:
    """Exit when the process that kills this one has ended."""
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event for it
        await anyio.sleep(1.0)
    kill_this_process()


async def _work(order: WorkerOrder, recorder: CallRecorder[LabQuestion, LabAnswer]) -> None:
    words = (order.slot, order.generation)
    memory = Memory()
    if order.inherited is not None:
        memory.inherit(Path(order.inherited))
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        tasks.start_soon(_end_with, os.getppid())
        access = await open_access(order, stack)
        if order.accident is not None:
            own = access.uninterrupted
            tasks.start_soon(meet_with, order.accident, own, recorder, order.name)
        for number in range(order.tasks + 2):
            random = drawn(order.seed, "hand", *words, number)
            hand = Hand(access, recorder, memory, random, name=order.name, refusals=order.refusals)
            if number == order.tasks:
                tasks.start_soon(hand.sweep)
            elif number > order.tasks:
                tasks.start_soon(hand.beat, f"lab-{order.slot}")
            else:
                tasks.start_soon(hand.run)
