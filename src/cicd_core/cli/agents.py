"""``agents``: list agents, show their status, drain and deregister them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli import completion
from cicd_core.cli.groups import group
from cicd_core.cli.options import (
    ActorOption,
    CursorOption,
    JsonOption,
    LimitOption,
    PoolFilter,
    StoreOption,
)

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.agent import Agent
    from cicd_core.persistence.listing import Page

app = group("Show and manage agents. Without a command: list them.")

Id = Annotated[
    str,
    typer.Argument(
        metavar="AGENT", autocompletion=completion.agents, show_default=False, help="An agent's id."
    ),
]


@app.command("list")
def list_agents(
    *,
    pool: PoolFilter = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            autocompletion=completion.agent_statuses,
            help="A status, such as healthy or offline.",
        ),
    ] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List agents, the newest first."""
    from cicd_core.cli.inputs import choose
    from cicd_core.cli.opening import answer
    from cicd_core.cli.paging import filled
    from cicd_core.cli.tables import agents_table, show_page
    from cicd_core.model.agent import AgentStatus

    async def work(plane: ControlPlane) -> Page[Agent]:
        wanted = None if status is None else choose("status", status, AgentStatus)
        return await filled(
            lambda number, start: plane.agents.list(
                pool_name=pool, status=wanted, limit=number, cursor=start
            ),
            limit=limit,
            cursor=cursor,
        )

    def show_list(screen: Screen, page: Page[Agent]) -> None:
        show_page(screen, agents_table(screen, page.items), page, nothing="no agents")

    answer(work, show_list, store=store, as_json=as_json)


@app.command()
def show(agent_id: Id, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show one agent."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> Agent:
        return await plane.agents.get(agent_id)

    def in_full(screen: Screen, found: Agent) -> None:
        from cicd_core.cli.details import show_agent

        show_agent(screen, found)

    answer(work, in_full, store=store, as_json=as_json)


@app.command()
def drain(
    agent_id: Id,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="The reason, for people.")
    ] = "drained by an operator",
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the agent finish its jobs and claim no new ones."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Agent:
        return await plane.agents.drain(agent_id, reason=reason, actor=asker(actor))

    _step(step, store=store, as_json=as_json)


@app.command("set-status")
def set_status(
    agent_id: Id,
    *,
    status: Annotated[
        str,
        typer.Argument(
            metavar="STATUS",
            autocompletion=completion.agent_statuses,
            help="healthy, degraded, unhealthy or offline.",
        ),
    ],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="The reason, for people.")
    ] = "set by an operator",
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set an agent's status; it overrides heartbeats."""
    from cicd_core.cli.inputs import asker, choose
    from cicd_core.model.agent import AgentStatus

    async def step(plane: ControlPlane) -> Agent:
        wanted = choose("status", status, AgentStatus)
        return await plane.agents.set_status(agent_id, wanted, reason=reason, actor=asker(actor))

    _step(step, store=store, as_json=as_json)


@app.command()
def deregister(
    agent_id: Id,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="The reason, for people.")
    ] = "deregistered by an operator",
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mark the agent as gone; its leases expire, and its jobs return to the queue."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Agent:
        return await plane.agents.deregister(agent_id, reason=reason, actor=asker(actor))

    _step(step, store=store, as_json=as_json)


def _step(
    step: Callable[[ControlPlane], Awaitable[Agent]], *, store: str | None, as_json: bool
) -> None:
    """Take a step, and show the agent after it."""
    from cicd_core.cli.opening import answer

    def show(screen: Screen, agent: Agent) -> None:
        from cicd_core.cli.screen import status, text

        reason = f": {agent.status_reason}" if agent.status_reason else ""
        shown = text(f"{agent.agent_id} ").append(status(agent.status.value))
        screen.show(shown.append(reason, ""))

    answer(step, show, store=store, as_json=as_json)
