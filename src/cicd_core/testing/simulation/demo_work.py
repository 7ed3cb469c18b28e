"""The names of a demo's jobs, and its deployments."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Final

from cicd_core.model.deployment import DeploymentMetrics, DeploymentSpec
from cicd_core.model.git import GitContext
from cicd_core.testing.simulation.plan import HOUR
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from random import Random  # noqa: TID251 - the caller's, seeded

    from cicd_core.model.spec import JobSpec
    from cicd_core.testing.simulation.world import World

_SERVICES: Final = ("shop", "billing", "search", "mail", "accounts")
_PEOPLE: Final = ("Ada Park", "Grace Lind", "Linus Okoro", "Mei Tanaka", "Omar Haddad")
_CHANGES: Final = (
    "Fix the totals of an empty cart",
    "Speed up the search of articles",
    "Add a page for returns",
    "Rename the columns of invoices",
    "Fix a link in the newsletter",
    "Update the certificates",
    "Remove the old checkout",
    "Add a retry to the payment",
)
_PLACES: Final = ("eu-west", "us-east")
#: The average time between deployments, and the longest stage of one, in seconds.
_EVERY: Final = 0.4 * HOUR
_STAGE: Final = 300.0
#: The share of jobs with one attempt: after an error they are dead letters.
_ONCE: Final = 0.3
#: The share of deployments that fail in staging and in production; of live ones rolled back.
_FAILS: Final = 0.06
_GOES_BACK: Final = 0.08


def named(specs: Iterable[JobSpec], draw: Random) -> list[JobSpec]:
    """Return jobs with a source, a name and a service; jobs of one arrival share them."""
    service, change = draw.choice(_SERVICES), draw.choice(_CHANGES)
    sha = hashlib.sha1(f"{draw.random()}".encode(), usedforsecurity=False).hexdigest()
    git = GitContext(
        repo=f"https://git.example.org/{service}.git",
        ref=draw.choice(("main", "main", "feature/returns", "hotfix")),
        commit_sha=sha,
        commit_message=change,
        author=draw.choice(_PEOPLE),
    )
    found = list(specs)
    return [
        evolve(
            spec,
            git=git,
            metadata={"name": _name(service, spec, number, len(found)), "service": service},
            tags=("pull-request",) if git.ref != "main" else ("main",),
            payload={"shell": f"make {spec.job_type}"},
            retry=evolve(spec.retry, max_attempts=1) if draw.random() < _ONCE else spec.retry,
        )
        for number, spec in enumerate(found, start=1)
    ]


def _name(service: str, spec: JobSpec, number: int, total: int) -> str:
    part = f" {number}/{total}" if total > 1 else ""
    return f"{service}: {spec.job_type}{part}"


class DemoDeployments:
    """Versions of services on their way through staging to production."""

    def __init__(self, world: World) -> None:
        """Draw from the world's seed; nothing happens yet."""
        self._world = world
        self._draw = world.plan.drawn("deployments")
        self._numbers = dict.fromkeys(_SERVICES, 0)

    def begin(self) -> None:
        """Schedule the first deployment."""
        self._world.agenda.after(self._draw.expovariate(1 / _EVERY), self._arrive)

    async def _arrive(self) -> None:
        self.begin()
        draw = self._draw
        service = draw.choice(_SERVICES)
        self._numbers[service] += 1
        person = draw.choice(_PEOPLE)
        made = await self._world.plane.deployments.create(
            DeploymentSpec(
                service_name=service,
                version=f"2.{self._numbers[service]}.0",
                environment=draw.choice(_PLACES),
                metadata={"change": draw.choice(_CHANGES)},
            ),
            actor=person,
        )
        await self._world.plane.deployments.begin_staging(made.deployment_id, actor=person)
        self._later(partial(self._stage, made.deployment_id, person))

    async def _stage(self, deployment_id: str, person: str) -> None:
        deployments = self._world.plane.deployments
        if self._draw.random() < _FAILS:
            message = "the smoke test of staging failed: 502 at /health"
            await deployments.record_staging(
                deployment_id, succeeded=False, error_message=message, actor=person
            )
            return
        await deployments.record_staging(deployment_id, succeeded=True, actor=person)
        self._later(partial(self._promote, deployment_id, person))

    async def _promote(self, deployment_id: str, person: str) -> None:
        await self._world.plane.deployments.begin_production(deployment_id, actor=person)
        self._later(partial(self._release, deployment_id, person))

    async def _release(self, deployment_id: str, person: str) -> None:
        deployments, draw = self._world.plane.deployments, self._draw
        if draw.random() < _FAILS:
            await deployments.record_production(
                deployment_id,
                succeeded=False,
                error_message="the rollout stopped: 3 of 8 instances did not start",
                actor=person,
            )
            return
        await deployments.record_production(deployment_id, succeeded=True, actor=person)
        metrics = DeploymentMetrics(
            error_rate=round(draw.uniform(0, 0.01), 4),
            latency_ms=round(draw.uniform(20, 120), 1),
            requests_per_second=round(draw.uniform(5, 400), 1),
        )
        await deployments.record_metrics(deployment_id, metrics)
        if draw.random() < _GOES_BACK:
            self._later(partial(self._roll_back, deployment_id, person))

    async def _roll_back(self, deployment_id: str, person: str) -> None:
        await self._world.plane.deployments.roll_back(
            deployment_id, reason="the latency doubled after the release", actor=person
        )

    def _later(self, action: Callable[[], Awaitable[None]]) -> None:
        self._world.agenda.after(self._draw.uniform(30, _STAGE), action)
