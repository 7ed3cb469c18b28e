"""The task of a worker: it opens the store and uses it until it is killed."""

from __future__ import annotations

import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from cicd_core.testing.crash.access import open_access
from cicd_core.testing.crash.jumping_clock import make_wall_clock_jump
from cicd_core.testing.crash.memory import Memory
from cicd_core.testing.crash.mishaps import meet_with
from cicd_core.testing.crash.plan import LabTask
from cicd_core.testing.crash.workload import Hand
from cicd_core.testing.seeds import drawn
from cicd_core.testing.workers.kill_points import kill_this_process

if TYPE_CHECKING:
    from cicd_core.testing.recording.recorder import CallRecorder
    from cicd_core.testing.recording.service_calls import ServiceAnswer, ServiceCall
    from cicd_core.testing.workers.orders import WorkerOrder


async def run(order: WorkerOrder, recorder: CallRecorder[ServiceCall, ServiceAnswer]) -> None:
    """Work until the process is killed."""
    logging.disable(logging.WARNING)  # each lost lease is a warning, and there are many
    task, memory = LabTask.of(order), Memory()
    if task.jumps:
        make_wall_clock_jump(drawn(order.seed, "clock", order.name))
    if task.inherited is not None:
        memory.inherit(Path(task.inherited))
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        tasks.start_soon(_end_with, os.getppid())
        access = await open_access(order, task, stack)
        if task.accident is not None:
            own = access.uninterrupted
            tasks.start_soon(meet_with, task.accident, own, recorder, order.name)
        for number in range(task.tasks + 2):
            random = drawn(order.seed, "hand", order.name, number)
            hand = Hand(access, recorder, memory, random, name=order.name, refusals=task.refusals)
            if number == task.tasks:
                tasks.start_soon(hand.sweep)
            elif number > task.tasks:
                tasks.start_soon(hand.beat, task.agent_id)
            else:
                tasks.start_soon(hand.run)


async def _end_with(parent: int) -> None:
    """Exit when the process that kills this one has ended."""
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event for it
        await anyio.sleep(1.0)
    kill_this_process()
