"""The course of a demo: agents start, the scenes run, everything ends, and is audited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio

from cicd_core.audit import AuditReport, audit
from cicd_core.cli.demo import recovery, scenarios
from cicd_core.cli.demo.agents import AgentProcess, AgentTerms
from cicd_core.cli.demo.context import SceneFailed, Stage
from cicd_core.cli.demo.polling import eventually
from cicd_core.cli.demo.state import AgentLine, Scene
from cicd_core.errors import CicdError, NotFound
from cicd_core.model.agent import AgentStatus
from cicd_core.model.job import JobStatus
from cicd_core.values import frozen

#: How long agents may take to end when the demo is interrupted, in seconds.
_STOP_SECONDS: Final = 5.0
#: Maximum age of an event on the board, in seconds: shorter than the pause of an idle follower.
_EVENT_SECONDS: Final = 0.1
#: How long an agent may take to register, in seconds.
_START_SECONDS: Final = 60.0


@frozen(kw_only=True)
class Plot:
    """The scenes of the demo."""

    agent_ids: tuple[str, ...]
    terms: AgentTerms
    test_command: str | None = None


async def play(stage: Stage, plot: Plot) -> AuditReport:
    """Run all scenes, then audit the store.

    Raises:
        SceneFailed: the agents did not start; the board shows a failed scene.
        CicdError: the store fails.
    """
    async with _agents(stage, plot), anyio.create_task_group() as tasks:
        tasks.start_soon(_follow, stage, await stage.plane.events.end())
        await _registered(stage)
        await _play_all(stage, plot)
        await _caught_up(stage)
        tasks.cancel_scope.cancel()
    return await audit(stage.plane, ended=stage.jobs)


async def _play_all(stage: Stage, plot: Plot) -> None:
    work = list(stage.workshop.bulk(plot.test_command))
    job_ids = await stage.enqueue_many(work)
    stage.board.say(Scene.WORK, f"{len(job_ids)} jobs on {len(stage.repository.commits)} commits")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            _play, stage, Scene.WORK, partial(scenarios.work_on_commits, stage, job_ids)
        )
        tasks.start_soon(_play, stage, Scene.DEAD_LETTER, partial(recovery.bury_and_replay, stage))
        tasks.start_soon(_play, stage, Scene.DELAY, partial(scenarios.wait_for_its_time, stage))
        tasks.start_soon(_play, stage, Scene.SAME_KEY, partial(scenarios.enqueue_twice, stage))
        await _play(stage, Scene.KILL, partial(recovery.kill_an_agent, stage))
        # A job that runs at most once must not run on the agent that is killed.
        tasks.start_soon(
            _play, stage, Scene.DEPLOYMENT, partial(scenarios.deploy, stage, job_ids[0])
        )
        tasks.start_soon(_play, stage, Scene.CANCEL, partial(recovery.cancel_in_flight, stage))
    await _play(stage, Scene.DRAIN, partial(recovery.drain_the_last, stage))


async def _play(stage: Stage, scene: Scene, play_scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene; if it fails, report that, and continue with the others."""
    try:
        await play_scene()
    except (SceneFailed, CicdError, OSError) as failed:
        stage.board.failed(scene, str(failed))


@asynccontextmanager
async def _agents(stage: Stage, plot: Plot) -> AsyncGenerator[None, None]:
    """Start the agents, and always stop all of them."""
    try:
        for agent_id in plot.agent_ids:
            process = AgentProcess(agent_id, plot.terms, stage.place)
            stage.agents[agent_id] = process
            stage.board.agents[agent_id] = AgentLine(pid=process.pid)
        yield
    finally:
        try:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as tasks:
                    for process in stage.agents.values():
                        tasks.start_soon(process.stop, _STOP_SECONDS)
        finally:  # also after a second Ctrl-C
            for process in stage.agents.values():
                process.destroy()


async def _registered(stage: Stage) -> None:
    """Return when every agent has registered.

    Raises:
        SceneFailed: one of them ended, or did not register in time.
    """

    async def look() -> bool | None:
        for process in stage.agents.values():
            if process.exit_code is not None:
                raise SceneFailed(
                    f"{process.agent_id} ended with exit code {process.exit_code} before it had "
                    f"a job; its output:\n{process.tail()}"
                )
        return all([await _is_there(stage, agent_id) for agent_id in stage.agents]) or None

    with anyio.move_on_after(_START_SECONDS):
        await eventually(look)
        return
    raise SceneFailed(f"the agents did not register within {_START_SECONDS:g} s")


async def _is_there(stage: Stage, agent_id: str) -> bool:
    try:
        agent = await stage.plane.agents.get(agent_id)
    except NotFound:
        return False
    return agent.status in {AgentStatus.REGISTERING, AgentStatus.HEALTHY, AgentStatus.DEGRADED}


async def _follow(stage: Stage, cursor: str) -> None:
    """Pass every event and the running jobs to the board, forever."""
    pool_name = stage.workshop.pool_name
    while True:
        page = await stage.plane.events.read(cursor, limit=500)
        cursor = page.cursor
        for event in page.events:
            stage.board.note(event)
        running = await stage.plane.jobs.list(
            status=JobStatus.RUNNING, pool_name=pool_name, limit=50
        )
        now = await stage.plane.now()
        stage.board.see_running(running.items, now)
        await anyio.sleep(_EVENT_SECONDS)


async def _caught_up(stage: Stage) -> None:
    """Pass the last events, which end every job, to the board."""

    async def look() -> bool | None:
        return stage.board.ended >= len(stage.jobs) or None

    with anyio.move_on_after(2.0):
        await eventually(look)
