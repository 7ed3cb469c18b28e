"""``top``: a live view of the queue and its agents."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cicd_core.cli.options import StoreOption
from cicd_core.model.agent import AgentStatus
from cicd_core.model.job import JobStatus

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.agent import Agent

#: The lines besides jobs and agents, and the rows shown on any terminal.
_HEADINGS: Final = 15
_LEAST: Final = 6
_PRESENT: Final = (
    AgentStatus.HEALTHY,
    AgentStatus.DEGRADED,
    AgentStatus.REGISTERING,
    AgentStatus.TERMINATING,
    AgentStatus.UNHEALTHY,
    AgentStatus.OFFLINE,
)


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it once, then exit.")] = False,
    interval: Annotated[
        float,
        typer.Option("--interval", metavar="SECONDS", min=0.1, help="Time between two updates."),
    ] = 1.0,
    store: StoreOption = None,
) -> None:
    """Watch the queue, running jobs and agents, until Ctrl-C."""
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.opening import run, store_url

    with reporting(as_json=False):
        url = store_url(store, quiet=not once)
        run(lambda plane: _once(plane) if once else _watch(plane, interval), url)


async def _once(plane: ControlPlane) -> None:
    from cicd_core.cli.opening import plane_now
    from cicd_core.cli.screen import Screen

    screen = Screen(await plane_now(plane))
    screen.show(await _picture(plane, screen))


async def _watch(plane: ControlPlane, interval: float) -> None:
    import anyio
    from rich.live import Live

    from cicd_core.agent.retry import patiently
    from cicd_core.cli.opening import plane_now
    from cicd_core.cli.screen import Screen

    screen = Screen(await plane_now(plane))
    with Live(console=screen.console, screen=True, auto_refresh=False) as live:
        while True:
            screen.now = await patiently(partial(plane_now, plane), what="looking")
            picture = await patiently(partial(_picture, plane, screen), what="looking")
            live.update(picture, refresh=True)
            await anyio.sleep(interval)


async def _picture(plane: ControlPlane, screen: Screen) -> Group:
    """Return the current view, no higher than the terminal."""
    from rich.console import Group

    from cicd_core.cli.overview import stats_table
    from cicd_core.cli.screen import instant, text
    from cicd_core.cli.tables import agents_table, jobs_table

    seen = await plane.queue.stats()
    room = max(_LEAST, screen.console.height - _HEADINGS)
    agents = await _agents(plane, room // 3)
    running = (await plane.jobs.list(status=JobStatus.RUNNING, limit=room - len(agents))).items
    parts: list[RenderableType] = [text(instant(screen.now), "dim"), stats_table(screen, seen)]
    for name, shown, there in (
        ("running", jobs_table(screen, running), running),
        ("agents", agents_table(screen, agents), agents),
    ):
        parts += [text(""), text(name, "bold"), shown if there else text("none", "dim")]
    return Group(*parts)


async def _agents(plane: ControlPlane, limit: int) -> list[Agent]:
    """Return the agents that are not gone, those that take work first."""
    found: list[Agent] = []
    for status in _PRESENT:
        if len(found) < limit:
            page = await plane.agents.list(status=status, limit=limit - len(found))
            found += page.items
    return found
