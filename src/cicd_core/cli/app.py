"""The program: every command under its name, in the groups that ``--help`` shows."""

from __future__ import annotations

from typing import Final

import typer

from cicd_core.cli import agents, deployments, jobs, pools, queue
from cicd_core.cli.about import stores, version
from cicd_core.cli.agent_process import agent
from cicd_core.cli.audit import audit_command
from cicd_core.cli.demo.command import demo_command
from cicd_core.cli.enqueue import enqueue
from cicd_core.cli.events import events
from cicd_core.cli.exits import MEANINGS
from cicd_core.cli.job_logs import logs
from cicd_core.cli.plugins import Extensible
from cicd_core.cli.top import top

_START: Final = "Begin here"
_WORK: Final = "Work"
_FLEET: Final = "Agents and deployments"
_CARE: Final = "Looking after the store"

_EXIT_CODES: Final = "\n".join(
    ["Exit codes:", *(f"{code:>5}: {meaning}" for code, meaning in MEANINGS.items())]
)

app: Final = typer.Typer(
    name="cicd-core",
    cls=Extensible,
    help="Jobs, agents and deployments: the core of a CI/CD control plane, over one store.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for name, command, panel in (
    ("demo", demo_command, _START),
    ("enqueue", enqueue, _WORK),
    ("jobs", jobs.jobs, _WORK),
    ("job", jobs.job, _WORK),
    ("logs", logs, _WORK),
    ("why", jobs.why, _WORK),
    ("cancel", jobs.cancel, _WORK),
    ("replay", jobs.replay, _WORK),
    ("reprioritise", jobs.reprioritise, _WORK),
    ("agent", agent, _FLEET),
    ("stats", queue.stats, _CARE),
    ("summary", queue.summary, _CARE),
    ("top", top, _CARE),
    ("events", events, _CARE),
    ("requeue-expired", queue.requeue_expired, _CARE),
    ("sweep", queue.sweep, _CARE),
    ("audit", audit_command, _CARE),
    ("stores", stores, _CARE),
    ("version", version, _CARE),
):
    app.command(name, rich_help_panel=panel)(command)

for name, part in (("agents", agents.app), ("pools", pools.app), ("deployments", deployments.app)):
    app.add_typer(part, name=name, rich_help_panel=_FLEET)
