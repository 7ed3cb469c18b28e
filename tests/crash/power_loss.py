"""Power loss under a SQLite store: crash states are rebuilt, opened, and compared with the answers.

A real store writes to a real file, and each of its writes and syncs is recorded (see
:mod:`cicd_core.testing.workers.sqlite_files`). Then the power is cut at random moments of that
record (:mod:`tests.crash.disk`), and what may be left is opened by the real store: it
must open, pass SQLite's own check and the audit, and hold whatever was acknowledged before, at
``synchronous=full``. At ``normal`` the last acknowledged commits may be missing, each as a whole.

From a shell: ``python -m tests.crash.power_loss --states 1000``.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import anyio
from attrs import asdict, define, field

from cicd_core.audit import audit
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import CicdError
from cicd_core.persistence.collections import JOBS
from cicd_core.persistence.grants import load_job
from cicd_core.testing.crash.lab import integrity_faults
from cicd_core.testing.seeds import drawn
from tests.crash.disk import Disk, Kind, load_trace
from tests.crash.power_loss_writer import DATABASE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from tests.crash.disk import Step

#: The root of the repository, from which `tests` is imported.
ROOT: Final = Path(__file__).parents[2]
#: How far a job has come: what was acknowledged must not be taken back.
_ORDER: Final = ("queued", "running", "success")
#: How many faults are described.
_DESCRIBED: Final = 10


@define
class PowerLossReport:
    """What was found in the states after a power loss."""

    synchronous: str
    seed: int
    #: Writes, syncs and so on in the trace, and how much was written and synced how often.
    steps: int = 0
    written_bytes: int = 0
    syncs: int = 0
    acknowledged: int = 0
    states: int = 0
    #: States that lack something that was acknowledged before, and how much at most.
    states_with_losses: int = 0
    most_lost: int = 0
    #: States that do not open, or contradict themselves.
    broken: int = 0
    #: The first of them, a sentence each.
    details: list[str] = field(factory=list[str])

    def add_broken(self, where: str, faults: Sequence[str]) -> None:
        """Count a state that is not as it should be."""
        self.broken += 1
        self.details += [f"{where}: {fault}" for fault in faults[: _DESCRIBED - len(self.details)]]

    @property
    def ok(self) -> bool:
        """Whether the setting kept what it promises."""
        return not self.broken and (self.synchronous != "full" or not self.states_with_losses)


def record(folder: Path, *, synchronous: Literal["full", "normal"], jobs: int) -> list[Step]:
    """Let a store write in a process of its own, and return the trace of what it did.

    Args:
        folder: an empty one.
        synchronous: as the store's option.
        jobs: how many jobs go through their lives.

    Raises:
        CicdError: the writer failed; the error says how.
    """
    trace = folder / "trace.jsonl"
    words = [str(folder), str(trace), "--synchronous", synchronous, "--jobs", str(jobs)]
    command = [sys.executable, "-m", "tests.crash.power_loss_writer", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CicdError(f"the writer of the power loss test failed: {done.stderr[-2000:]}")
    return load_trace(trace)


def cut_power(
    steps: Sequence[Step], folder: Path, *, synchronous: str, seed: int, states: int
) -> PowerLossReport:
    """Rebuild states after a power loss, and check each of them.

    Args:
        steps: the trace of a store's file; see :func:`record`.
        folder: an empty one, for one state at a time.
        synchronous: what the trace was recorded at.
        seed: what the moments and the states are drawn from.
        states: how many.
    """
    report = PowerLossReport(
        synchronous,
        seed,
        steps=len(steps),
        written_bytes=sum(len(step.data) for step in steps),
        syncs=sum(step.kind is Kind.SYNC for step in steps),
        acknowledged=sum(step.kind is Kind.ACKNOWLEDGED for step in steps),
    )
    random = drawn(seed, "power", synchronous)
    disk = Disk(steps)
    for position in sorted(_moments(steps, random, states)):
        disk.go_to(position)
        folder.mkdir()
        disk.cut_power(random, folder)
        anyio.run(_check, folder, f"step {position}", disk.acknowledged, report)
        shutil.rmtree(folder)
    return report


def _moments(steps: Sequence[Step], random: Random, states: int) -> list[int]:
    """Return when the power is cut: anywhere, or right after an answer."""
    answers = [number + 1 for number, step in enumerate(steps) if step.kind is Kind.ACKNOWLEDGED]
    return [
        random.choice(answers)
        if answers and random.random() < 0.5
        else random.randint(0, len(steps))
        for _ in range(states)
    ]


async def _check(
    folder: Path, where: str, acknowledged: Sequence[tuple[str, ...]], report: PowerLossReport
) -> None:
    report.states += 1
    path = folder / DATABASE
    promised = {note[0]: note[1] for note in acknowledged}
    try:
        async with ControlPlane.open(f"sqlite:///{path}", maintenance=False) as plane:
            found = await _states(plane, list(promised))
            audited = await audit(plane)
    except CicdError as refused:
        report.add_broken(where, [f"{type(refused).__name__}: {refused}"])
        return
    faults = [fault for check in audited.checks for fault in check.faults]
    faults += integrity_faults(path)
    if faults:
        report.add_broken(where, faults)
    lost = sum(not _is_kept(found.get(key), state) for key, state in promised.items())
    report.states_with_losses += lost > 0
    report.most_lost = max(report.most_lost, lost)


async def _states(plane: ControlPlane, keys: Sequence[str]) -> dict[str, str]:
    records = await plane.store.get(JOBS.name, keys)
    return {key: load_job(record).value.state.value for key, record in records.items()}


def _is_kept(found: str | None, promised: str) -> bool:
    return found is not None and _ORDER.index(found) >= _ORDER.index(promised)


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut the power as the arguments say; 0: what is promised was kept, 1: it was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.power_loss")
    parser.add_argument("--synchronous", choices=("full", "normal"), default="full")
    parser.add_argument("--states", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--jobs", type=int, default=80, help="that the store runs (default: 80)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="cicd-power-") as name:
        steps = record(Path(name), synchronous=given.synchronous, jobs=given.jobs)
        report = cut_power(
            steps,
            Path(name) / "state",
            synchronous=given.synchronous,
            seed=given.seed,
            states=given.states,
        )
    sys.stdout.write(json.dumps({**asdict(report), "ok": report.ok}, indent=2) + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
