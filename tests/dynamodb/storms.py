"""The crash lab over a DynamoDB that fails: workers are killed while their requests go wrong.

From a shell, with as many kills as somebody has time for::

    python -m tests.dynamodb.storms --kills 1000
    python -m tests.dynamodb.storms --engine ministack --kills 200
    python -m tests.dynamodb.storms --kills 100 --parts 5 --seed 1 --results storms.jsonl

A proxy stands before the engine and does what its mix says, see ``fault_proxy.py``; and most lists
of commits have a member that stays undecided, see ``undecided_lists.py``. It prints the lab's
report and how often each fault was injected, and exits with 1 if anything contradicts what is
promised: nothing lost that was acknowledged, nothing owned twice, nothing told twice. ``--parts``
runs several storms, of one seed after the other; those that ``--results`` holds already are not run
again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
from attrs import evolve

from cicd_core.entities import COLLECTIONS
from cicd_core.ids import IdSource
from cicd_core.store.registry import open_store
from cicd_core.testing.crash import LabPlan, run_lab
from tests.dynamodb.engines import engines, started
from tests.dynamodb.fault_proxy import FAULTS, MIXES
from tests.dynamodb.undecided_lists import COUNTER
from tests.storming import Results, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cicd_core.testing.crash import CrashReport
    from tests.dynamodb.engines import Server

#: What is put between each worker and its store.
WRAP: Final = "tests.dynamodb.undecided_lists:UndecidedLists"
#: What the proxy is asked for when the lab comes to a stage. From the drain on nothing fails, and
#: no list lags behind: the drain ends when no list shows a job that is open, and one that moves
#: from one status to another would be in none. The audit waits for what is still under way.
_STAGES: Final = (("the storm is over", "/calm"), ("drained", "/settle"))


def storm(
    proxy: Server, plan: LabPlan, tell: Callable[[str], None] = lambda _: None
) -> tuple[CrashReport, dict[str, int]]:
    """Run the lab over a proxy, in tables and a namespace of its own.

    Returns:
        what the lab found, and how often each fault was injected.
    """
    store = (
        f"dynamodb://?prefix=lab-&region=us-east-1&endpoint={proxy.endpoint}"
        f"&create_tables=true&timeout=1&namespace=lab-{IdSource().commit_id()}"
    )

    def heed(line: str) -> None:
        tell(line)
        for stage, path in _STAGES:
            if line.startswith(stage):
                _ask(proxy, path)

    report = run_lab(evolve(plan, store=store, wrap=WRAP), heed)
    counted = anyio.run(_counted, store)
    if counted:
        raise AssertionError(f"commits that were refused are counted: {counted}")
    done: dict[str, int] = _ask(proxy, "/")["done"]
    return report, {name: done.get(name, 0) for name in FAULTS}


async def _counted(store: str) -> dict[str, int]:
    """Return what commits have counted that were all refused."""
    async with open_store(store, collections=COLLECTIONS) as opened:
        return dict((await opened.counters(COUNTER)).values)


def _ask(proxy: Server, path: str) -> dict[str, dict[str, int]]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        told: dict[str, dict[str, int]] = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise OSError(f"the proxy answers {answer.status}: {told}")
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Storm an engine; 0: every check holds, 1: one does not."""
    given = _parser().parse_args(arguments)
    # Each lease that is lost is a warning, and here they are lost by the thousand.
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    results = Results(given.results, "engine", "mix")
    parts: list[dict[str, Any]] = []
    for seed in range(given.seed, given.seed + given.parts):
        found = results.of(given.engine, given.mix, seed)
        if found is None:
            found = results.add(given.engine, given.mix, seed, found=_one(given, seed))
        parts.append(found)
    for name in ("kills", "operations", "lost", "double_owned"):
        say(sys.stderr, f"{name:<14} {sum(part[name] for part in parts):,}")
    return 0 if all(part["ok"] for part in parts) else 1


def _one(given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run one storm, print its report, and return it."""
    with (
        tempfile.TemporaryDirectory(prefix="cicd-storm-") as made,
        started(given.engine, given.mix) as proxy,
    ):
        plan = LabPlan(
            store="dynamodb://",
            folder=given.journals or Path(made),
            seed=seed,
            minutes=given.minutes,
            kills=given.kills,
            workers=given.workers,
            tasks=given.tasks,
        )
        report, faults = storm(proxy, plan, lambda line: say(sys.stderr, line))
    found = {"faults": faults, **report.as_json()}
    if given.json:
        say(sys.stdout, json.dumps(found, indent=2))
    else:
        told = ", ".join(f"{name} {number:,}" for name, number in faults.items() if number)
        say(sys.stdout, f"engine         {given.engine}, mix {given.mix}")
        say(sys.stdout, f"faults         {told}")
        say(sys.stdout, report.as_text())
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.dynamodb.storms", description=__doc__)
    add = parser.add_argument
    known = engines()
    add("--engine", choices=known, default=known[0], help=f"(default: {known[0]})")
    add("--mix", choices=sorted(MIXES), default="storm", help="what goes wrong (default: storm)")
    add("--kills", type=int, default=100, metavar="K", help="end after so many killed workers")
    add(
        "--minutes", type=float, default=90.0, metavar="M", help="end after this time at the latest"
    )
    add("--parts", type=int, default=1, metavar="N", help="run so many storms, of N seeds")
    add("--results", type=Path, metavar="FILE", help="keep each storm here, and run none again")
    add("--seed", type=int, default=0, metavar="S", help="what everything is drawn from")
    add("--workers", type=int, default=4, metavar="N", help="processes at once (default: 4)")
    add("--tasks", type=int, default=4, metavar="N", help="calls of each at once (default: 4)")
    add("--journals", type=Path, metavar="FOLDER", help="keep what the workers wrote here: empty")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
