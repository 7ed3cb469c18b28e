"""The writer whose power is cut: a real store on a real file, each write and sync recorded."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.control_plane.plane import ControlPlane
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.store.sqlite import opening
from cicd_core.store.sqlite.checkpoint import Checkpoints
from cicd_core.testing.workers.sqlite_files import watch_files
from tests.crash.disk import Recorder, save_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The name of the database in its folder.
DATABASE: Final = "store.db"
#: Sizes of the log at which it is checkpointed and cut, in bytes: so that both happen often.
_FIRST: Final = 64 * 1024
_LONGEST: Final = 192 * 1024
#: How many callers there are at once: their commits share transactions.
_CALLERS: Final = 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Write, and save the trace: one process, one trace."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("trace", type=Path)
    parser.add_argument("--synchronous", choices=("full", "normal"), default="full")
    parser.add_argument("--jobs", type=int, default=40)
    given = parser.parse_args(arguments)
    recorder = Recorder()
    watch_files(recorder)
    opening.__dict__["Checkpoints"] = partial(Checkpoints, first=_FIRST, longest=_LONGEST)
    url = f"sqlite:///{given.folder / DATABASE}?synchronous={given.synchronous}"
    # Twice: the first one to close a file leaves no log, and the next one makes a new one.
    for _ in range(2):
        anyio.run(_write, url, recorder, given.jobs // 2)
    save_trace(recorder.steps, given.trace)


async def _write(url: str, recorder: Recorder, jobs: int) -> None:
    async with (
        ControlPlane.open(url, maintenance=False) as plane,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(_CALLERS):
            tasks.start_soon(_run_jobs, plane, recorder, jobs // _CALLERS)


async def _run_jobs(plane: ControlPlane, recorder: Recorder, jobs: int) -> None:
    """Run jobs through their lives, and keep what was acknowledged when it is."""
    for number in range(jobs):
        job = await plane.queue.enqueue(JobSpec(job_type="build", payload={"number": number}))
        recorder.acknowledge(job.job_id, "queued")
        for claimed in await plane.queue.claim(agent_id="writer", start=True):
            recorder.acknowledge(claimed.job.job_id, "running")
            await plane.queue.complete(claimed, Outcome.success())
            recorder.acknowledge(claimed.job.job_id, "success")


if __name__ == "__main__":
    main()
