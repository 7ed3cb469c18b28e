"""Histories of several processes that share one store by its URL."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
from anyio.streams.text import TextReceiveStream
from attrs import fields

from cicd_core.store.registry import open_store
from cicd_core.testing.histories.config import Workload
from cicd_core.testing.histories.journal import load
from cicd_core.testing.histories.worker import KILLED, READY
from cicd_core.testing.histories.workload import Recording, conclude
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
    from pathlib import Path

    from anyio.abc import ByteReceiveStream, Process


async def record_processes(
    url: str,
    workload: Workload,
    folder: Path,
    *,
    namespace: str,
    processes: int = 2,
    die_after: Sequence[int | None] = (),
    settle: Callable[[], Awaitable[None]] | None = None,
) -> Recording:
    """Run several processes on one store concurrently, and return their common history.

    Args:
        url: the store; other processes must be able to open it.
        workload: the workload of each process, with its own client names.
        folder: an existing folder for their records.
        namespace: an empty namespace.
        processes: the number of processes.
        die_after: the number of writing calls after which the first process dies, as by SIGKILL.
        settle: returns when claims and the log show every commit; for a store that lags.

    Raises:
        RuntimeError: a process failed; the message has its last output.
    """
    names = [f"p{number}-" for number in range(processes)]
    deaths = [*die_after, *[None] * (processes - len(die_after))]
    paths = [folder / f"{name}{namespace}.jsonl" for name in names]
    base = ["--store", url, "--namespace", namespace, *_options(workload)]
    commands = [
        [*base, "--name", name, "--output", str(path), *_death(death)]
        for name, path, death in zip(names, paths, deaths, strict=True)
    ]
    await _run_together(commands)
    async with open_store(url, collections=COLLECTIONS, namespace=namespace) as store:
        return await conclude(store, load(paths), settle)


def _options(workload: Workload) -> list[str]:
    options: list[str] = []
    for field in fields(Workload):
        options += [f"--{field.name.replace('_', '-')}", str(getattr(workload, field.name))]
    return options


def _death(after: int | None) -> list[str]:
    return [] if after is None else ["--die-after", str(after)]


async def _run_together(commands: Sequence[Sequence[str]]) -> None:
    """Start a worker per command, and let all of them begin when the last one is ready."""
    module = "cicd_core.testing.histories.worker"
    async with AsyncExitStack() as stack:
        workers: list[Process] = []
        for command in commands:
            line = [sys.executable, "-m", module, *command]
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
        if READY in said:
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
