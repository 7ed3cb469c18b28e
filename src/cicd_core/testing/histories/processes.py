"""Histories of several processes that share one store by its URL."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import anyio
import cattrs
from anyio.streams.text import TextReceiveStream
from attrs import evolve

from cicd_core.store.registry import open_store
from cicd_core.testing.histories.workload import Recording, conclude, work
from cicd_core.testing.histories.workload_client import Workload  # noqa: TC001 - cattrs reads it
from cicd_core.testing.recording.journal import load
from cicd_core.testing.samples import COLLECTIONS
from cicd_core.testing.seeds import drawn
from cicd_core.testing.workers.kill_points import KILLED, pointed
from cicd_core.testing.workers.orders import WorkerOrder
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
    from pathlib import Path

    from anyio.abc import ByteReceiveStream, Process

    from cicd_core.testing.recording.recorder import CallRecorder
    from cicd_core.testing.recording.store_calls import StoreArgument, StoreResult
    from cicd_core.testing.workers.orders import KillPoint

#: The output of a worker when the store is open.
_READY: Final = "ready"


@frozen(kw_only=True)
class _HistoryTask:
    """The part of a worker's order that is for a history."""

    namespace: str
    workload: Workload


async def record_processes(
    url: str,
    workload: Workload,
    folder: Path,
    *,
    namespace: str,
    processes: int = 2,
    kill_points: Sequence[KillPoint] = (),
    settle: Callable[[], Awaitable[None]] | None = None,
) -> Recording:
    """Run several processes on one store concurrently, and return their common history.

    Args:
        url: the store; other processes must be able to open it.
        workload: the workload of each process, with its own client names.
        folder: an existing folder for their records.
        namespace: an empty namespace.
        processes: the number of processes.
        kill_points: where the first processes die, as by SIGKILL.
        settle: returns when claims and the log show every commit; for a store that lags.

    Raises:
        RuntimeError: a process failed; the message has its last output.
    """
    details = cattrs.unstructure(_HistoryTask(namespace=namespace, workload=workload))
    orders = [
        WorkerOrder(
            name=f"p{number}-",
            seed=workload.seed,
            store=url,
            journal=str(folder / f"p{number}-{namespace}.jsonl"),
            task=f"{__name__}:run",
            details=details,
        )
        for number in range(processes)
    ]
    for number, kill_point in enumerate(kill_points):
        orders[number] = evolve(orders[number], kill_point=kill_point)
    await _run_together(orders)
    async with open_store(url, collections=COLLECTIONS, namespace=namespace) as store:
        return await conclude(store, load(order.journal for order in orders), settle)


async def run(order: WorkerOrder, recorder: CallRecorder[StoreArgument, StoreResult]) -> None:
    """Open the store, say that it is open, wait for a line, and work."""
    task, random = cattrs.structure(order.details, _HistoryTask), drawn(order.seed, order.name)
    opened = open_store(order.store, collections=COLLECTIONS, namespace=task.namespace)
    async with opened as store:
        sys.stdout.write(f"{_READY}\n")
        sys.stdout.flush()
        sys.stdin.readline()  # nothing else runs here yet, so it may block
        await work(pointed(store, order.kill_point, random), task.workload, recorder, order.name)


async def _run_together(orders: Sequence[WorkerOrder]) -> None:
    """Start a worker per order, and let all of them begin when the last one is ready."""
    module = "cicd_core.testing.workers.worker"
    async with AsyncExitStack() as stack:
        workers: list[Process] = []
        for order in orders:
            line = [sys.executable, "-m", module, order.to_json()]
            workers.append(await stack.enter_async_context(await anyio.open_process(line)))
        for worker in workers:
            await _await_ready(worker)
        async with anyio.create_task_group() as tasks:
            for worker in workers:
                tasks.start_soon(_begin, worker)


async def _await_ready(worker: Process) -> None:
    said = ""
    async for text in _texts(worker.stdout):
        said += text
        if _READY in said:
            return
    await _finish(worker)
    raise RuntimeError(f"a worker ended before it was ready; its output: {said!r}")


async def _begin(worker: Process) -> None:
    if worker.stdin is not None:
        await worker.stdin.send(b"go\n")
    await _finish(worker)


async def _finish(worker: Process) -> None:
    """Wait until a worker has ended."""
    last_words = "".join([text async for text in _texts(worker.stderr)])
    code = await worker.wait()
    if code not in {0, KILLED}:
        raise RuntimeError(f"a worker ended with exit code {code}:\n{last_words}")


def _texts(stream: ByteReceiveStream | None) -> AsyncIterable[str]:
    if stream is None:
        raise RuntimeError("a worker has no pipes")
    return TextReceiveStream(stream)
