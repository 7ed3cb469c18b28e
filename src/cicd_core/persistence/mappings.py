"""How each kind of entity is kept: its key, attributes, lease and retention."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.model.agent import Agent, AgentStatus
from cicd_core.model.instants import to_micros
from cicd_core.model.job import Job, JobState
from cicd_core.persistence import codec, collections, grants
from cicd_core.persistence.repository import EntityKind
from cicd_core.store.limits import MAX_INSTANT

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.model.deployment import Deployment
    from cicd_core.model.pool import Pool
    from cicd_core.model.session import Session
    from cicd_core.settings import Settings
    from cicd_core.store.records import Lease, StoreTime

_HELD = frozenset({JobState.CLAIMED, JobState.RUNNING})


def micros(seconds: float) -> int:
    """Return a duration in microseconds, as the store contract wants it."""
    return round(seconds * 1_000_000)


def _after(seconds: float, time: StoreTime, end: datetime | None = None) -> int:
    """Return when a retention of ``seconds`` is over, on the steady clock.

    It begins with the commit, and with the end that the commit tells of where that is still to
    come. So what is recorded late is kept as long as what is recorded at once, and no calendar that
    is set forward shortens it.
    """
    ahead = 0 if end is None else max(0, to_micros(end) - time.calendar)
    return min(MAX_INSTANT, time.micros + ahead + micros(seconds))


def _never(_pool: object, _time: StoreTime, _lease: object) -> None:
    return None


def longest_lease(job: Job, settings: Settings) -> int:
    """Return how long a lease on a job that runs may last in all (µs)."""
    return micros(job.timeout_seconds + settings.grace_seconds)


def job_kind(settings: Settings) -> EntityKind[Job]:
    """Jobs: held under a lease while CLAIMED or RUNNING, dropped some time after a verdict."""

    def expires_at(job: Job, time: StoreTime, _: object) -> int | None:
        if not job.is_final:
            return None
        return _after(settings.job_retention_seconds, time, job.completed_at)

    return EntityKind(
        name="job",
        collection=collections.JOBS,
        codec=codec.JOB,
        load=grants.load_job,
        key=lambda job: job.job_id,
        attributes=collections.job_attributes,
        keeps_lease=lambda job: job.state in _HELD,
        lease_limit=partial(longest_lease, settings=settings),
        expires_at=expires_at,
    )


def deployment_kind(settings: Settings) -> EntityKind[Deployment]:
    """Deployments: dropped some time after the last step, once no command can take another."""

    def expires_at(deployment: Deployment, time: StoreTime, _: object) -> int | None:
        if not deployment.is_final:
            return None
        last = deployment.history[-1].at if deployment.history else None
        return _after(settings.deployment_retention_seconds, time, last)

    return EntityKind(
        name="deployment",
        collection=collections.DEPLOYMENTS,
        codec=codec.DEPLOYMENT,
        load=partial(grants.load, codec.DEPLOYMENT),
        key=lambda deployment: deployment.deployment_id,
        attributes=lambda deployment, _: collections.deployment_attributes(deployment),
        keeps_lease=lambda _: False,
        lease_limit=lambda _: None,
        expires_at=expires_at,
    )


def agent_kind(settings: Settings) -> EntityKind[Agent]:
    """Agents: the lease is the heartbeat; dropped some time after they have gone or fell silent."""
    silent = {AgentStatus.OFFLINE, AgentStatus.TERMINATED}

    def expires_at(agent: Agent, time: StoreTime, _: object) -> int | None:
        if agent.status not in silent:
            return None
        return _after(settings.agent_retention_seconds, time)

    return EntityKind(
        name="agent",
        collection=collections.AGENTS,
        codec=codec.AGENT,
        load=partial(grants.load, codec.AGENT),
        key=lambda agent: agent.agent_id,
        attributes=_agent_attributes,
        keeps_lease=lambda agent: agent.status is not AgentStatus.TERMINATED,
        lease_limit=lambda _: None,
        expires_at=expires_at,
    )


def _agent_attributes(agent: Agent, lease: Lease | None) -> dict[str, str]:
    # An agent that is known to be silent needs nobody to look at its heartbeat.
    minded = None if agent.status is AgentStatus.OFFLINE else lease
    return collections.agent_attributes(agent, minded)


def pool_kind() -> EntityKind[Pool]:
    """Pools: kept until they are deleted."""
    return EntityKind(
        name="pool",
        collection=collections.POOLS,
        codec=codec.POOL,
        load=partial(grants.load, codec.POOL),
        key=lambda pool: pool.pool_name,
        attributes=lambda pool, _: collections.pool_attributes(pool),
        keeps_lease=lambda _: False,
        lease_limit=lambda _: None,
        expires_at=_never,
    )


def session_kind() -> EntityKind[Session]:
    """Sessions: the lease is the idle expiry, its limit the absolute one: dropped then."""
    return EntityKind(
        name="session",
        collection=collections.SESSIONS,
        codec=codec.SESSION,
        load=partial(grants.load, codec.SESSION),
        key=lambda session: session.session_id,
        attributes=lambda session, _: collections.session_attributes(session),
        keeps_lease=lambda session: session.logged_out_at is None and session.expired_at is None,
        lease_limit=lambda _: None,
        expires_at=lambda _, time, lease: time.micros if lease is None else lease.limit,
    )
