"""A disk that fails for a while: at each single write, cut and sync of a SQLite store in turn.

Whatever it is that fails, the caller hears a typed error, what was acknowledged before stays, and
when the disk works again the store does too.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from attrs import asdict, define, field

from cicd_core.audit import audit
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import NotFound, StoreError, StoreFull
from cicd_core.model.job import JobState
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.settings import Settings
from cicd_core.store.sqlite import opening
from cicd_core.store.sqlite.checkpoint import Checkpoints
from cicd_core.testing.crash.lab import integrity_faults
from cicd_core.testing.workers.sqlite_files import FULL, IO_ERROR, FileWatcher, watch_files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What the disk says, by the name of its illness.
CODES: Final = {"full": FULL, "broken": IO_ERROR}
#: A small log, so that checkpoints are among what fails.
_CHECKPOINTS: Final = partial(Checkpoints, first=32 * 1024, longest=64 * 1024)
_SETTINGS: Final = Settings(commit_attempts=2)
_JOBS: Final = 8


class FailingDisk(FileWatcher):
    """Lets changes happen, but for some in a row."""

    def __init__(self) -> None:
        """Work, at first."""
        self.changes = 0
        self._code = 0
        self._ill: range = range(0)

    def fall_ill(self, at: int, changes: int, code: int) -> None:
        """Answer ``code`` to so many changes, from the ``at``-th one on, counted from now."""
        self.changes = 0
        self._ill = range(at, at + changes)
        self._code = code

    def recover(self) -> None:
        """Work again."""
        self._ill = range(0)

    def write(self, name: str, offset: int, data: bytes, proceed: Callable[[int], int]) -> int:
        """Write half of it, where it fails."""
        if self._fails():
            proceed(len(data) // 2)
            return self._code
        return proceed(len(data))

    def cut(self, name: str, size: int, proceed: Callable[[], int]) -> int:
        """Leave the file as it is, where it fails."""
        return self._code if self._fails() else proceed()

    def sync(self, name: str, *, folder: bool, proceed: Callable[[], int]) -> int:
        """Sync nothing, where it fails; there is always room for a sync."""
        return IO_ERROR if self._fails() else proceed()

    def _fails(self) -> bool:
        self.changes += 1
        return self.changes in self._ill


@define
class FailingDiskReport:
    """What was found over a disk that failed at one change after the other."""

    #: Runs in which the disk failed, and calls that were refused in them.
    runs: int = 0
    refused: int = 0
    #: How many of them because there was no room.
    full: int = 0
    #: What contradicts the promises.
    faults: list[str] = field(factory=list[str])


@define
class _Run:
    """One run: what was acknowledged, and what became of the rest."""

    acknowledged: dict[str, JobState] = field(factory=dict[str, JobState])
    refused: int = 0
    full: int = 0

    def refuse(self, refused: StoreError) -> None:
        """Count a call that was refused."""
        self.refused += 1
        self.full += isinstance(refused, StoreFull)


def sweep(
    folder: Path, *, illness: str, changes: int, first: int = 1, step: int = 1
) -> FailingDiskReport:
    """Let the disk fail at the first change, the next one, and so on, each in a run of its own.

    It watches the files of this process until it ends: have a process for it alone.

    Args:
        folder: an empty one.
        illness: ``full`` or ``broken``.
        changes: how many changes in a row fail.
        first: the first change that fails.
        step: 2 leaves every second one out, and so on.
    """
    disk = FailingDisk()
    watch_files(disk)
    opening.__dict__["Checkpoints"] = _CHECKPOINTS
    report = FailingDiskReport()
    at = first
    while True:
        path = folder / f"{at}.db"
        disk.fall_ill(at, changes, CODES[illness])
        run = _Run()
        report.faults += [f"change {at}: {text}" for text in anyio.run(_faults, path, disk, run)]
        report.runs += 1
        report.refused += run.refused
        report.full += run.full
        if disk.changes < at:
            return report
        at += step


async def _faults(path: Path, disk: FailingDisk, run: _Run) -> list[str]:
    """Use a store whose disk fails, then one whose disk works; return what is wrong with it."""
    try:
        async with ControlPlane.open(
            f"sqlite:///{path}", maintenance=False, settings=_SETTINGS
        ) as plane:
            for number in range(_JOBS):
                await _try(plane, number, run)
            disk.recover()
    except StoreError as refused:
        run.refuse(refused)
        disk.recover()
    changes = disk.changes
    async with ControlPlane.open(f"sqlite:///{path}", maintenance=False) as plane:
        faults = await _contradictions(plane, run)
        before = run.refused
        await _try(plane, _JOBS, run)
        if run.refused > before:
            faults.append("the disk works again, and the store does not")
    disk.changes = changes
    return faults + integrity_faults(path)


async def _try(plane: ControlPlane, number: int, run: _Run) -> None:
    """Run a job through its life, as far as the disk lets it, and keep what was acknowledged."""
    try:
        spec = JobSpec(job_type="build", payload={"number": number, "filling": "x" * 2000})
        job = await plane.queue.enqueue(spec)
        run.acknowledged[job.job_id] = JobState.QUEUED
        for claimed in await plane.queue.claim(agent_id="agent", start=True):
            done = await plane.queue.complete(claimed, Outcome.success())
            run.acknowledged[done.job_id] = done.state
    except StoreError as refused:
        run.refuse(refused)


async def _contradictions(plane: ControlPlane, run: _Run) -> list[str]:
    found = await audit(plane)
    faults = [text for check in found.checks for text in check.faults]
    for job_id, state in run.acknowledged.items():
        try:
            now = (await plane.jobs.get(job_id)).state
        except NotFound:
            faults.append(f"job {job_id} was {state.value} and is gone")
            continue
        # What was not acknowledged may have been done all the same, unless there was no room.
        if now is not state and state is JobState.SUCCESS:
            faults.append(f"job {job_id} was {state.value} and is {now.value}")
    if run.full == run.refused and found.jobs != len(run.acknowledged):
        faults.append(f"{len(run.acknowledged)} jobs were made, and {found.jobs} are there")
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep as the arguments say, and print the report as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.failing_disk")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--illness", choices=tuple(CODES), default="full")
    parser.add_argument("--changes", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--step", type=int, default=1)
    given = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # a checkpoint that fails is logged, and tried again
    report = sweep(
        given.folder,
        illness=given.illness,
        changes=given.changes,
        first=given.first,
        step=given.step,
    )
    sys.stdout.write(json.dumps(asdict(report)) + "\n")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
