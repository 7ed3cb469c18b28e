"""The crash lab over a DynamoDB that fails: workers are killed while their requests go wrong.

From a shell, with as many kills as somebody has time for::

    python -m tests.dynamodb.storms --kills 1000
    python -m tests.dynamodb.storms --engine ministack --kills 200

A proxy stands before the engine and does what its mix says, see ``fault_proxy.py``. It prints the
lab's report and how often each fault was injected, and exits with 1 if anything contradicts what
is promised: nothing lost that was acknowledged, nothing owned twice.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import evolve

from cicd_core.ids import IdSource
from cicd_core.testing.crash import LabPlan, run_lab
from tests.dynamodb.engines import engines, started
from tests.dynamodb.fault_proxy import FAULTS, MIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from cicd_core.testing.crash import CrashReport
    from tests.dynamodb.engines import Server

#: What the proxy is asked for when the lab comes to a stage: then nothing fails that is done once,
#: and no list lags behind what the audit reads.
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

    report = run_lab(evolve(plan, store=store), heed)
    done: dict[str, int] = _ask(proxy, "/")["done"]
    return report, {name: done.get(name, 0) for name in FAULTS}


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
    with (
        tempfile.TemporaryDirectory(prefix="cicd-storm-") as made,
        started(given.engine, given.mix) as proxy,
    ):
        plan = LabPlan(
            store="dynamodb://",
            folder=given.journals or Path(made),
            seed=given.seed,
            minutes=given.minutes,
            kills=given.kills,
            workers=given.workers,
            tasks=given.tasks,
        )
        report, faults = storm(proxy, plan, lambda line: _say(sys.stderr, line))
    if given.json:
        _say(sys.stdout, json.dumps({"faults": faults, **report.as_json()}, indent=2))
    else:
        told = ", ".join(f"{name} {number:,}" for name, number in faults.items() if number)
        _say(sys.stdout, f"engine         {given.engine}, mix {given.mix}")
        _say(sys.stdout, f"faults         {told}")
        _say(sys.stdout, report.as_text())
    return 0 if report.ok else 1


def _say(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


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
    add("--seed", type=int, default=0, metavar="S", help="what everything is drawn from")
    add("--workers", type=int, default=4, metavar="N", help="processes at once (default: 4)")
    add("--tasks", type=int, default=4, metavar="N", help="calls of each at once (default: 4)")
    add("--journals", type=Path, metavar="FOLDER", help="keep what the workers wrote here: empty")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
