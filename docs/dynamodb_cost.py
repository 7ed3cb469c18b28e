"""Writes the tables of the pages on what DynamoDB costs from the figures that the tests hold.

    python docs/dynamodb_cost.py

writes the parts of ``docs/reference/dynamodb-cost.md`` and ``dynamodb-scale.md`` between their
markers. A test fails when they differ from this script's output.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import evolve

from cicd_core_dynamodb import costs
from cicd_core_dynamodb.bill import BilledWorkload, bill_of
from cicd_core_dynamodb.costs import AGENT_LIFECYCLE, LIFECYCLE, OPERATIONS, PRICES
from cicd_core_dynamodb.location import SHARDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core_dynamodb.bill import Line
    from cicd_core_dynamodb.costs import Units

PAGES: Final = tuple(
    Path(__file__).with_name("reference") / name
    for name in ("dynamodb-cost.md", "dynamodb-scale.md")
)
_PART: Final = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

#: The fleets whose bills are shown: every agent runs maintenance, as it does by default.
FLEETS: Final = {
    "10 agents, 100,000 jobs": BilledWorkload(jobs=1e5, agents=10, sweepers=10),
    "100 agents, 1 million jobs": BilledWorkload(jobs=1e6, agents=100, sweepers=100),
    "1,000 agents, 1 million jobs": BilledWorkload(jobs=1e6, agents=1000, sweepers=1000),
    "the same, patient": BilledWorkload(
        jobs=1e6,
        agents=1000,
        sweepers=1000,
        poll_seconds=10,
        lane_refresh_seconds=20,
        heartbeat_interval_seconds=60,
        lease_seconds=120,
        sweep_seconds=5,
    ),
    "10,000 agents, 10 million jobs": BilledWorkload(jobs=1e7, agents=10_000, sweepers=10_000),
}
#: Agents that have nothing to do.
_IDLE: Final = BilledWorkload(jobs=0, sweepers=0)
_PATIENT: Final = evolve(
    _IDLE, poll_seconds=5.0, lane_refresh_seconds=10.0, heartbeat_interval_seconds=30.0
)
IDLE: Final = {
    "100": evolve(_IDLE, agents=100),
    "1,000": evolve(_IDLE, agents=1000),
    "10,000": evolve(_IDLE, agents=10_000),
    "10,000, patient": evolve(_PATIENT, agents=10_000),
}


def operations() -> str:
    """Return what each operation consumes."""
    lines = [
        "| operation | what it is | writes | with the log | reads | a million, $ |",
        "|---|---|---|---|---|---|",
    ]
    for each in OPERATIONS:
        bare = each.total(shards=SHARDS, log=False, marks=False)
        whole = each.total(shards=SHARDS)
        about = "" if each.exact else "about "
        numbers = (bare.writes, whole.writes, whole.reads)
        cells = [f"{about}{number:g}" if number else "" for number in numbers]
        row = (each.name, each.description, *cells, _million(whole))
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def lifecycles() -> str:
    """Return what a job's life consumes."""
    lines = [
        "| a job's life | log and marks | writes | reads | a million, $ |",
        "|---|---|---|---|---|",
    ]
    for names in (LIFECYCLE, AGENT_LIFECYCLE):
        for extras, log, marks in (
            ("neither", False, False),
            ("marks", False, True),
            ("both", True, True),
        ):
            units = costs.lifecycle(names, shards=SHARDS, log=log, marks=marks)
            if log:
                units += costs.COPYING
            lines.append(
                f"| {', '.join(names)} | {extras} | {units.writes:g} | {units.reads:g} "
                f"| {_million(units)} |"
            )
    return "\n".join(lines)


def bills() -> str:
    """Return the bills of some fleets, side by side."""
    made = {name: bill_of(workload) for name, workload in FLEETS.items()}
    names = list(dict.fromkeys(line.name for bill in made.values() for line in bill.lines))
    names.sort(key=lambda name: -_dollars(made["1,000 agents, 1 million jobs"].lines, name))
    lines = [f"| dollars a month | {' | '.join(made)} |", "|---|" + "---|" * len(made)]
    for name in names:
        cells = (f"{_dollars(bill.lines, name):,.2f}" for bill in made.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(f"| all | {' | '.join(f'{bill.dollars:,.2f}' for bill in made.values())} |")
    lines.append(f"| a job | {' | '.join(f'{bill.dollars_a_job:.6f}' for bill in made.values())} |")
    return "\n".join(lines)


def maintenance() -> str:
    """Return what maintenance of a thousand agents costs, by how many processes run it."""
    fleet = FLEETS["1,000 agents, 1 million jobs"]
    lines = ["| processes that run maintenance | dollars a month |", "|---|---|"]
    for sweepers in (1, 2, 10, 100, 1000):
        bill = bill_of(evolve(fleet, sweepers=sweepers))
        lines.append(f"| {sweepers:,} | {_dollars(bill.lines, 'maintenance'):,.2f} |")
    return "\n".join(lines)


def room() -> str:
    """Return what a job that has ended takes."""
    return (
        f"A job that has ended takes about {costs.JOB_BYTES} bytes in its table and "
        f"{costs.JOB_INDEX_BYTES} in\nindexes, its events about {costs.LOG_BYTES} in the journal "
        f"and the log, with the {costs.OVERHEAD} bytes that DynamoDB\nadds to each item."
    )


def agents() -> str:
    """Return what agents consume and cost that wait for work, with a table's quota in mind."""
    lines = [
        "| agents | heartbeats: writes a second | looks: reads a second | dollars a month |",
        "|---|---|---|---|",
    ]
    for fleet, workload in IDLE.items():
        bill = bill_of(workload)
        beats, looks = (
            sum(getattr(line.units, kind) for line in bill.lines) / costs.MONTH
            for kind in ("writes", "reads")
        )
        lines.append(f"| {fleet} | {beats:,.0f} | {looks:,.0f} | {bill.dollars:,.0f} |")
    return "\n".join(lines)


PARTS: Final[dict[str, Callable[[], str]]] = {
    "operations": operations,
    "lifecycles": lifecycles,
    "bills": bills,
    "maintenance": maintenance,
    "room": room,
    "agents": agents,
}


def rendered(page: str) -> str:
    """Return the page with its generated parts."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}\n{part[3]}", page)


def _million(units: Units) -> str:
    return f"{PRICES.of(units.times(1e6)):.2f}"


def _dollars(lines: tuple[Line, ...], name: str) -> float:
    return sum(line.dollars for line in lines if line.name == name)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")
        sys.stdout.write(f"{page} is up to date\n")
