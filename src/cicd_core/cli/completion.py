"""Shell completion from the store: ids, pools, services, job types.

It opens the store that the line names, and never creates one. It waits a second for it, or
``CICD_COMPLETION_SECONDS`` seconds, and offers nothing after that: a shell cannot show an
error.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane

#: Number of newest records read.
_READ: Final = 100
#: Time limit of the store, in seconds, and the variable that overrides it.
_PATIENCE: Final = 1.0
_PATIENCE_VARIABLE: Final = "CICD_COMPLETION_SECONDS"

#: Other users wrote the descriptions: only these characters of them reach the shell.
_OBEYED: Final = re.compile(r"[^\w.,/@+-]")

#: An offered text and its description.
Offer = tuple[str, str]
#: The callback of typer: gets the context of the line so far, and the start of the word.
Completer = Callable[[typer.Context, str], list[Offer]]


def of_store(read: Callable[[ControlPlane], Awaitable[Iterable[Offer]]]) -> Completer:
    """Return a completer that offers the results of ``read``."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        offers = _read(read, ctx.params.get("store"))
        return [
            (word, _harmless(about))
            for word, about in dict(offers).items()
            if word.startswith(incomplete)
        ]

    return complete


def _harmless(about: str) -> str:
    """Return a description without characters special to shells: zsh evaluates it again."""
    return " ".join(_OBEYED.sub(" ", about).split())


def _read(
    read: Callable[[ControlPlane], Awaitable[Iterable[Offer]]], store: str | None
) -> Iterable[Offer]:
    """Return the results from a store; none if it does not exist, or is too slow."""
    import logging

    import anyio

    from cicd_core.cli.opening import opened, store_url

    async def in_time() -> Iterable[Offer]:
        with anyio.move_on_after(float(os.environ.get(_PATIENCE_VARIABLE) or _PATIENCE)):
            async with opened(store_url(store, quiet=True)) as plane:
                return await read(plane)
        return ()

    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return anyio.run(in_time)
    except BaseException:  # noqa: BLE001 - the shell waits; any failure means no offer
        return ()
    finally:
        logging.disable(logging.NOTSET)


def one_of(kind: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a completer that offers fixed words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in kind() if word.startswith(incomplete.lower())]

    return complete


async def _jobs(plane: ControlPlane) -> list[Offer]:
    page = await plane.jobs.list(limit=_READ)
    return [(job.job_id, f"{job.job_type}, {job.state.value}") for job in page.items]


async def _open_jobs(plane: ControlPlane) -> list[Offer]:
    page = await plane.jobs.list(limit=_READ)
    return [
        (job.job_id, f"{job.job_type}, {job.state.value}") for job in page.items if not job.is_final
    ]


async def _dead_letters(plane: ControlPlane) -> list[Offer]:
    page = await plane.jobs.dead_letters(limit=_READ)
    return [(job.job_id, job.job_type) for job in page.items]


async def _agents(plane: ControlPlane) -> list[Offer]:
    page = await plane.agents.list(limit=_READ)
    return [(agent.agent_id, agent.status.value) for agent in page.items]


async def _pools(plane: ControlPlane) -> list[Offer]:
    """Return the pools with a record, and those of the newest agents and jobs."""
    made = [pool.pool_name for pool in (await plane.pools.list(limit=_READ)).items]
    used = [agent.pool_name for agent in (await plane.agents.list(limit=_READ)).items]
    used += [job.pool_name for job in (await plane.jobs.list(limit=_READ)).items]
    return [(name, "") for name in sorted({"default", *made, *used})]


async def _made_pools(plane: ControlPlane) -> list[Offer]:
    page = await plane.pools.list(limit=_READ)
    return [(pool.pool_name, pool.description) for pool in page.items]


async def _job_types(plane: ControlPlane) -> list[Offer]:
    handled = [agent.job_types or () for agent in (await plane.agents.list(limit=_READ)).items]
    used = [job.job_type for job in (await plane.jobs.list(limit=_READ)).items]
    names = {"shell", *used, *(name for names in handled for name in names)}
    return [(name, "") for name in sorted(names)]


async def _deployments(plane: ControlPlane) -> list[Offer]:
    page = await plane.deployments.list(limit=_READ)
    return [
        (each.deployment_id, f"{each.service_name} {each.version}, {each.status.value}")
        for each in page.items
    ]


async def _services(plane: ControlPlane) -> list[Offer]:
    page = await plane.deployments.list(limit=_READ)
    return [(name, "") for name in sorted({each.service_name for each in page.items})]


async def _keys(plane: ControlPlane) -> list[Offer]:
    return [(key.key_id, key.name) for key in (await plane.keys.list(limit=_READ)).items]


jobs: Final = of_store(_jobs)
open_jobs: Final = of_store(_open_jobs)
dead_letters: Final = of_store(_dead_letters)
agents: Final = of_store(_agents)
pools: Final = of_store(_pools)
made_pools: Final = of_store(_made_pools)
job_types: Final = of_store(_job_types)
deployments: Final = of_store(_deployments)
services: Final = of_store(_services)
keys: Final = of_store(_keys)


def _priorities() -> Iterable[str]:
    from cicd_core.model.job import Priority

    return [each.name.lower() for each in Priority]


def _job_statuses() -> Iterable[str]:
    from cicd_core.model.job import JobState, JobStatus

    return [*JobStatus, JobState.DEAD_LETTERED.value]


def _agent_statuses() -> Iterable[str]:
    from cicd_core.model.agent import AgentStatus

    return [*AgentStatus]


def _deployment_statuses() -> Iterable[str]:
    from cicd_core.model.deployment import DeploymentStatus

    return [*DeploymentStatus]


def _event_types() -> Iterable[str]:
    from cicd_core.model.event_types import EVENT_TYPES

    return EVENT_TYPES


priorities: Final = one_of(_priorities)
job_statuses: Final = one_of(_job_statuses)
agent_statuses: Final = one_of(_agent_statuses)
deployment_statuses: Final = one_of(_deployment_statuses)
event_types: Final = one_of(_event_types)
