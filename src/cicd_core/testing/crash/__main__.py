"""``python -m cicd_core.testing.crash``: kill workers of any store, and audit the result."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cicd_core.errors import CicdError
from cicd_core.testing.crash.lab import run_lab
from cicd_core.testing.crash.plan import LabPlan

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lab; 0: all checks passed, 1: one failed, 2: it could not run."""
    given = _parser().parse_args(arguments)
    # Each lost lease is a warning, and here there are thousands.
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="cicd-crash-") as made:
        folder = given.journals or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            sys.stderr.write(f"{folder} is not empty: give an empty folder for this run\n")
            return 2
        try:
            report = run_lab(_plan(given, folder), _tell)
        except CicdError as refused:
            sys.stderr.write(f"the lab could not run: {refused}\n")
            return 2
    text = json.dumps(report.as_json(), indent=2) if given.json else report.as_text()
    sys.stdout.write(f"{text}\n")
    return 0 if report.ok else 1


def _plan(given: argparse.Namespace, folder: Path) -> LabPlan:
    return LabPlan(
        store=given.store,
        folder=folder,
        seed=given.seed,
        minutes=given.minutes,
        workers=given.workers,
        kills=given.kills,
        operations=given.operations,
        tasks=given.tasks,
        life=given.life,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cicd_core.testing.crash",
        description="Kill the processes that use a store, then check that nothing was lost, that "
        "no job had two owners, and that the log and the counters are complete.",
    )
    add = parser.add_argument
    add("--store", required=True, metavar="URL", help="the store; it must hold no job")
    add("--minutes", type=float, default=1.0, metavar="M", help="the longest duration (default: 1)")
    add("--seed", type=int, default=0, metavar="S", help="the seed of all random choices")
    add("--workers", type=int, default=4, metavar="N", help="processes at once (default: 4)")
    add("--kills", type=int, metavar="K", help="end early, after K kills")
    add("--operations", type=int, metavar="N", help="... and N acknowledged operations")
    add("--tasks", type=int, default=8, metavar="N", help="callers in each worker (default: 8)")
    add("--life", type=float, default=3.0, metavar="S", help="longest life of a worker, in seconds")
    add("--journals", type=Path, metavar="FOLDER", help="keep the workers' journals here")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
