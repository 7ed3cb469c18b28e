"""A worker process: it carries out an order, and writes each of its calls to its journal at once.

``python -m cicd_core.testing.workers.worker ORDER`` runs one; the fork server runs them as forks.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import anyio

from cicd_core.testing.recording.journal import Journal
from cicd_core.testing.recording.recorder import CallRecorder
from cicd_core.testing.workers.kill_points import arm_process
from cicd_core.testing.workers.orders import WorkerOrder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Task: TypeAlias = Callable[[WorkerOrder, CallRecorder[Any, Any]], Awaitable[None]]


def named(name: str) -> object:
    """Return the object that ``module:name`` names."""
    module, _, member = name.partition(":")
    return getattr(import_module(module), member)


def work(order: WorkerOrder) -> None:
    """Carry out an order in this process, until the task or the process ends."""
    arm_process(order.kill_point)
    task = cast("Task", named(order.task))
    with Path(order.journal).open("a", encoding="utf-8") as file:
        anyio.run(task, order, CallRecorder(Journal(file)))


if __name__ == "__main__":
    work(WorkerOrder.from_json(sys.argv[1]))
