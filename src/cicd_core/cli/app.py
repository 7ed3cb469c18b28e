"""The program: every command by its name, in the groups of ``--help``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import version as version_of
from typing import Annotated, Any, Final

import typer
import typer.main

from cicd_core.cli import agents, deployments, jobs, keys, pools, queue
from cicd_core.cli.about import stores, version
from cicd_core.cli.agent_process import agent
from cicd_core.cli.audit import audit_command
from cicd_core.cli.demo.command import demo_command
from cicd_core.cli.enqueue import ShellByDefault, enqueue
from cicd_core.cli.events import events
from cicd_core.cli.exits import MEANINGS
from cicd_core.cli.job_logs import logs
from cicd_core.cli.plugins import Extensible
from cicd_core.cli.serve import serve
from cicd_core.cli.top import top

_START: Final = "Start here"
_WORK: Final = "Work"
_FLEET: Final = "Agents and deployments"
_CARE: Final = "Operations"

_EXIT_CODES: Final = "\n".join(
    ["Exit codes:", *(f"{code:>5}: {meaning}" for code, meaning in MEANINGS.items())]
)

#: The commands by name, in the order and the panels of ``--help``.
_COMMANDS: Final[dict[str, tuple[Callable[..., None], str]]] = {
    "demo": (demo_command, _START),
    "enqueue": (enqueue, _WORK),
    "jobs": (jobs.jobs, _WORK),
    "job": (jobs.job, _WORK),
    "logs": (logs, _WORK),
    "why": (jobs.why, _WORK),
    "cancel": (jobs.cancel, _WORK),
    "replay": (jobs.replay, _WORK),
    "reprioritise": (jobs.reprioritise, _WORK),
    "agent": (agent, _FLEET),
    "serve": (serve, _FLEET),
    "stats": (queue.stats, _CARE),
    "summary": (queue.summary, _CARE),
    "top": (top, _CARE),
    "events": (events, _CARE),
    "requeue-expired": (queue.requeue_expired, _CARE),
    "sweep": (queue.sweep, _CARE),
    "audit": (audit_command, _CARE),
    "stores": (stores, _CARE),
    "version": (version, _CARE),
}
#: The American spelling of a command, which ``--help`` omits.
_HIDDEN: Final = {"reprioritize": jobs.reprioritise}
_GROUPS: Final = {
    "agents": agents.app,
    "pools": pools.app,
    "deployments": deployments.app,
    "keys": keys.app,
}


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"cicd-core {version_of('cicd-core')}")
        raise typer.Exit


def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version, and exit."
        ),
    ] = False,
) -> None:
    pass


def _with(is_wanted: Callable[[str], bool]) -> typer.Typer:
    """Return the program with the named commands and groups."""
    made = typer.Typer(
        name="cicd-core",
        cls=Extensible,
        help="Jobs, agents and deployments: the core of a CI/CD control plane, on one store.",
        epilog=_EXIT_CODES,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_options)
    for name, (command, panel) in _COMMANDS.items():
        if is_wanted(name):
            shape = ShellByDefault if command is enqueue else None
            made.command(name, cls=shape, rich_help_panel=panel)(command)
    for name, command in _HIDDEN.items():
        if is_wanted(name):
            made.command(name, hidden=True)(command)
    for name, part in _GROUPS.items():
        if is_wanted(name):
            made.add_typer(part, name=name, rich_help_panel=_FLEET)
    return made


#: The complete program.
app: Final = _with(lambda _: True)


@cache
def program(name: str | None = None) -> Any:
    """Return the program for a line: with all commands, or with only the named one if it exists.

    Typer takes a millisecond for each command, which is more than most commands take.
    """
    is_known = name in _COMMANDS or name in _HIDDEN or name in _GROUPS
    return typer.main.get_command(_with(lambda each: each == name) if is_known else app)
