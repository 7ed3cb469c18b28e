"""Draws the state machines: Mermaid diagrams and tables, from the tables that the library runs by.

    python docs/state_machines.py

writes them into ``docs/explanation/state-machines.md``, between the comments that name each
machine; the words around them stay. A test fails when the page differs from this script's output.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from cicd_core.lifecycle.agent_table import AGENT_TABLE
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.agent import AgentStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.lifecycle.table import TransitionTable

PAGE: Final = Path(__file__).with_name("explanation") / "state-machines.md"

_Edges = set[tuple[str, str]]


@frozen(kw_only=True)
class Diagram:
    """One picture: some of a machine's commands, so that it stays readable."""

    title: str
    commands: tuple[str, ...]
    #: States that are drawn as one where a command treats them alike, by the name of the group.
    groups: Mapping[str, tuple[str, ...]] = field(factory=dict[str, "tuple[str, ...]"])


@frozen(kw_only=True)
class Machine:
    """A machine and its pictures. A command that never changes the state is in no picture."""

    table: TransitionTable[Any]
    diagrams: tuple[Diagram, ...]


_BEATING: Final = {
    "beating": (AgentStatus.HEALTHY, AgentStatus.DEGRADED, AgentStatus.UNHEALTHY),
    "staying": (
        AgentStatus.REGISTERING,
        AgentStatus.HEALTHY,
        AgentStatus.DEGRADED,
        AgentStatus.UNHEALTHY,
        AgentStatus.OFFLINE,
    ),
    "any": tuple(AgentStatus),
}

MACHINES: Final = {
    "job": Machine(
        table=JOB_TABLE,
        diagrams=(
            Diagram(
                title="Claims, results and retries",
                commands=("submit", "claim", "start", "complete", "time_out", "fail", "replay"),
            ),
            Diagram(
                title="Released and lost leases",
                commands=("release", "expire_lease"),
            ),
            Diagram(
                title="Cancellation and deadlines",
                commands=("cancel", "confirm_cancel", "expire_deadline"),
            ),
            Diagram(title="Tracked runs", commands=("record",)),
        ),
    ),
    "deployment": Machine(
        table=DEPLOYMENT_TABLE,
        diagrams=(
            Diagram(
                title="All steps",
                commands=(
                    "begin_staging",
                    "record_staging",
                    "begin_production",
                    "record_production",
                    "fail",
                    "roll_back",
                ),
            ),
        ),
    ),
    "agent": Machine(
        table=AGENT_TABLE,
        diagrams=(
            Diagram(
                title="Heartbeats and status",
                commands=("heartbeat", "set_status"),
                groups={"beating": _BEATING["beating"]},
            ),
            Diagram(
                title="Registration, drain and deregistration",
                commands=("register", "drain", "deregister", "mark_offline"),
                groups={"any": _BEATING["any"], "staying": _BEATING["staying"]},
            ),
        ),
    ),
}


def rewritten(page: str) -> str:
    """Return the page with every machine drawn from its table.

    Raises:
        ValueError: a machine has no place in the page, or a command no place in a diagram.
    """
    for name, machine in MACHINES.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no place for {name!r}: add {begin!r} and {end!r}")
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2]
        page = f"{before}{begin}\n{described(machine)}\n{end}{after}"
    return page


def described(machine: Machine) -> str:
    """Return the diagrams of a machine, and the table of all its edges.

    Raises:
        ValueError: a command that changes the state is in no diagram, or in two.
    """
    drawn = [command for diagram in machine.diagrams for command in diagram.commands]
    moving = {each.command for each in machine.table.edges if each.source is not each.target}
    if sorted(drawn) != sorted(moving):
        raise ValueError(f"draw each of {sorted(moving)} once; drawn are {sorted(drawn)}")
    pictures = [
        f"**{diagram.title}**\n\n{picture(machine.table, diagram)}" for diagram in machine.diagrams
    ]
    return "\n".join([*pictures, edge_table(machine.table)])


def picture(table: TransitionTable[Any], diagram: Diagram) -> str:
    """Return one diagram as a Mermaid fence."""
    labels: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for command in diagram.commands:
        for pair in sorted(_grouped(_moves(table, command), diagram.groups)):
            labels[pair].append(command)
    seen = {state for pair in labels for state in pair}
    lines = ["stateDiagram-v2", f"accTitle: {diagram.title}", "direction LR"]
    lines += [
        f'state "{_listed(members)}" as {name}'
        for name, members in diagram.groups.items()
        if name in seen
    ]
    lines += [f"[*] --> {state}" for state in table.initial if state in seen]
    lines += [f"{source} --> {to}: {', '.join(names)}" for (source, to), names in labels.items()]
    lines += [f"{state} --> [*]" for state in _final(table) if state in seen]
    return "```mermaid\n" + "\n    ".join(lines) + "\n```\n"


def edge_table(table: TransitionTable[Any]) -> str:
    """Return every edge as a Markdown table: a row for the sources that a command treats alike."""
    rows = ["| command | from | to |", "|---|---|---|"]
    for command in dict.fromkeys(each.command for each in table.edges):
        for targets, sources in _alike(table, command).items():
            if targets is None:
                rows.append(f"| `{command}` | {_listed(sources)} | the same |")
            else:
                rows.append(f"| `{command}` | {_listed(sources)} | {_listed(targets)} |")
    return "\n".join(rows) + "\n"


def _alike(table: TransitionTable[Any], command: str) -> dict[tuple[str, ...] | None, list[str]]:
    """Return the sources of a command by their targets; None: each one stays where it is."""
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for edge in table.edges:
        if edge.command == command:
            targets[edge.source].append(edge.target)
    alike: defaultdict[tuple[str, ...] | None, list[str]] = defaultdict(list)
    for source, found in targets.items():
        alike[None if found == [source] else tuple(found)].append(source)
    return dict(alike)


def _moves(table: TransitionTable[Any], command: str) -> _Edges:
    edges = ((each.source, each.target) for each in table.edges if each.command == command)
    return {(str(source), str(target)) for source, target in edges if source is not target}


def _grouped(edges: _Edges, groups: Mapping[str, tuple[str, ...]]) -> _Edges:
    """Return the edges with a group in the place of its members, where that says the same."""
    for name, members in groups.items():
        for state in {each for edge in edges for each in edge} - set(members):
            leaving = {(member, state) for member in members}
            arriving = {(state, member) for member in members}
            if leaving <= edges:
                edges = edges - leaving | {(name, state)}
            if arriving <= edges:
                edges = edges - arriving | {(state, name)}
        inside = {(one, other) for one in members for other in members if one != other}
        if inside <= edges:
            edges = edges - inside | {(name, name)}
        for state in members:  # a command may lead from each of a group to one of its own
            others = {(member, state) for member in members if member != state}
            if others <= edges and len(members) > 2:  # noqa: PLR2004 - two are no crowd
                edges = edges - others | {(name, state)}
    return edges


def _final(table: TransitionTable[Any]) -> list[str]:
    states = dict.fromkeys(each.target for each in table.edges)
    return [state for state in states if not table.commands(state)]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is up to date\n")
