"""The command: runs a simulation, and prints its report."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.errors import InvalidInput
from cicd_core.testing.simulation.drawing import text_of
from cicd_core.testing.simulation.plan import SimulationPlan
from cicd_core.testing.simulation.report import OPTIONS
from cicd_core.testing.simulation.running import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DEFAULT: Final = SimulationPlan()
_BAR: Final = 30
_HELP: Final = {
    "seed": "the seed of all random choices",
    "agents": "agents; with --autoscale the maximum",
    "days": "days of traffic",
    "jobs_per_hour": "jobs per hour, on average over a day",
    "crash_rate": "crashes of an agent per hour",
    "stall_rate": "stalls of an agent per hour",
    "clock_steps": "how often per hour the store's wall clock is set wrong, or right again",
    "lane_losses": "how often per hour the list of a pool's lanes is lost",
    "lost_replies": "the share of calls whose reply is lost, 0 to 1",
    "cancels": "the share of jobs that are cancelled, 0 to 1",
    "hangs": "the share of attempts that never end by themselves, 0 to 1",
    "setup_failures": "the share of claims whose agent cannot start the work, 0 to 1",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a simulation; 0: every promise holds, 1: one does not, 2: it could not run."""
    given = vars(_parser().parse_args(arguments))
    as_json, quiet = given.pop("json"), given.pop("quiet")
    # Each lease that is lost is a warning, and here many are lost on purpose.
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    try:
        plan = SimulationPlan(**given)
    except InvalidInput as refused:
        sys.stderr.write(f"the simulation could not run: {refused}\n")
        return 2
    report = anyio.run(partial(simulate, plan, tell=None if quiet else _progress()))
    if not quiet:
        sys.stderr.write("\n")
    text = (
        json.dumps(report.as_json(), indent=2) if as_json else text_of(report, ascii_only=_ascii())
    )
    sys.stdout.write(f"{text}\n")
    return 0 if report.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cicd_core.testing.simulate",
        description="Simulate days of traffic on the memory store: agents crash, stall and repeat "
        "calls, every step is checked, and the same seed gives the same numbers.",
    )
    add = parser.add_argument
    for name in OPTIONS:
        default: float = getattr(_DEFAULT, name)
        flag, text = f"--{name.replace('_', '-')}", f"{_HELP[name]} (default: {default})"
        add(flag, type=type(default), default=default, metavar="N", help=text)
    add("--autoscale", action="store_true", help="start and drain agents by the scaling signal")
    add("--steps", type=int, metavar="N", help="stop after N steps, to inspect a step")
    add("--json", action="store_true", help="print the report as JSON")
    add("--quiet", action="store_true", help="show no progress")
    return parser


def _progress() -> Callable[[float], None]:
    """Return a function that draws a progress bar on stderr at each percent."""
    last = -1

    def tell(share: float) -> None:
        nonlocal last
        percent = int(share * 100)
        if percent == last:
            return
        last = percent
        bar = ("#" * int(share * _BAR)).ljust(_BAR, ".")
        sys.stderr.write(f"\r[{bar}] {percent:3d} % of the traffic")
        sys.stderr.flush()

    return tell


def _ascii() -> bool:
    """Whether the terminal or file cannot show the characters of the bars."""
    try:
        "▁█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False
