"""The mappings of jobs, deployments, agents, pools and sessions."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from cicd_core.lifecycle.agent_table import AGENT_TABLE
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.agent import Agent, AgentStatus
from cicd_core.model.deployment import Deployment, DeploymentStatus
from cicd_core.model.instants import micros
from cicd_core.model.job import Job, JobState
from cicd_core.persistence import codec, collections, grants
from cicd_core.persistence.mapping import EntityMapping, after, never
from cicd_core.store.records import Partition

if TYPE_CHECKING:
    from cicd_core.model.pool import Pool
    from cicd_core.model.session import Session
    from cicd_core.settings import Settings
    from cicd_core.store.records import Lease, StoreTime

_HELD: Final = frozenset({JobState.CLAIMED, JobState.RUNNING})
_SILENT: Final = frozenset({AgentStatus.OFFLINE, AgentStatus.TERMINATED})


def longest_lease(job: Job, settings: Settings) -> int:
    """Return how long a lease on a running job may last in total (µs)."""
    return micros(job.timeout_seconds + settings.grace_seconds)


def _job_expiry(job: Job, time: StoreTime, _: object, settings: Settings) -> int | None:
    if not job.is_final:
        return None
    return after(settings.job_retention_seconds, time, job.completed_at)


def _deployment_expiry(
    deployment: Deployment, time: StoreTime, _: object, settings: Settings
) -> int | None:
    if not deployment.is_final:
        return None
    last = deployment.history[-1].at if deployment.history else None
    return after(settings.deployment_retention_seconds, time, last)


def _agent_expiry(agent: Agent, time: StoreTime, _: object, settings: Settings) -> int | None:
    if agent.status not in _SILENT:
        return None
    return after(settings.agent_retention_seconds, time)


def _agent_attributes(agent: Agent, lease: Lease | None) -> dict[str, str]:
    # An OFFLINE agent is known to be silent: its heartbeat needs no timer.
    watched = None if agent.status is AgentStatus.OFFLINE else lease
    return collections.agent_attributes(agent, watched)


def _session_expiry(_: Session, time: StoreTime, lease: Lease | None, _settings: object) -> int:
    return time.micros if lease is None else lease.limit


#: Jobs: held under a lease while CLAIMED or RUNNING; they expire some time after their verdict.
JOB: Final[EntityMapping[Job]] = EntityMapping(
    name="job",
    collection=collections.JOBS,
    codec=codec.JOB,
    load=grants.load_job,
    key=attrgetter("job_id"),
    attributes=collections.job_attributes,
    keeps_lease=lambda job: job.state in _HELD,
    lease_limit=longest_lease,
    expires_at=_job_expiry,
    retention=lambda settings: settings.job_retention_seconds,
    lists=tuple(
        Partition(collections.JOBS.name, collections.BY_STATUS, value)
        for value in collections.job_statuses()
    ),
    table=JOB_TABLE,
)

#: Deployments: they expire some time after the last step, once no command can change them.
DEPLOYMENT: Final[EntityMapping[Deployment]] = EntityMapping(
    name="deployment",
    collection=collections.DEPLOYMENTS,
    codec=codec.DEPLOYMENT,
    load=partial(grants.load, codec.DEPLOYMENT),
    key=lambda deployment: deployment.deployment_id,
    attributes=lambda deployment, _: collections.deployment_attributes(deployment),
    keeps_lease=lambda _: False,
    lease_limit=never,
    expires_at=_deployment_expiry,
    retention=lambda settings: settings.deployment_retention_seconds,
    lists=tuple(
        Partition(collections.DEPLOYMENTS.name, collections.BY_DEPLOYMENT_STATUS, status.value)
        for status in DeploymentStatus
    ),
    table=DEPLOYMENT_TABLE,
)

#: Agents: the lease is the heartbeat; they expire some time after they left or became silent.
AGENT: Final[EntityMapping[Agent]] = EntityMapping(
    name="agent",
    collection=collections.AGENTS,
    codec=codec.AGENT,
    load=partial(grants.load, codec.AGENT),
    key=lambda agent: agent.agent_id,
    attributes=_agent_attributes,
    keeps_lease=lambda agent: agent.status is not AgentStatus.TERMINATED,
    lease_limit=never,
    expires_at=_agent_expiry,
    retention=lambda settings: settings.agent_retention_seconds,
    lists=tuple(
        Partition(collections.AGENTS.name, collections.BY_STATUS, status.value)
        for status in AgentStatus
    ),
    table=AGENT_TABLE,
)

#: Pools: kept until they are deleted.
POOL: Final[EntityMapping[Pool]] = EntityMapping(
    name="pool",
    collection=collections.POOLS,
    codec=codec.POOL,
    load=partial(grants.load, codec.POOL),
    key=lambda pool: pool.pool_name,
    attributes=lambda pool, _: collections.pool_attributes(pool),
    keeps_lease=lambda _: False,
    lease_limit=never,
    expires_at=never,
    lists=(Partition(collections.POOLS.name, collections.BY_KIND, collections.POOL_KIND),),
    births=frozenset({"pool.created"}),
    deletions=frozenset({"pool.deleted"}),
)

#: Sessions: the lease is the idle expiry; its limit is the absolute one, when the record expires.
SESSION: Final[EntityMapping[Session]] = EntityMapping(
    name="session",
    collection=collections.SESSIONS,
    codec=codec.SESSION,
    load=partial(grants.load, codec.SESSION),
    key=lambda session: session.session_id,
    attributes=lambda session, _: collections.session_attributes(session),
    keeps_lease=lambda session: session.logged_out_at is None and session.expired_at is None,
    lease_limit=never,
    expires_at=_session_expiry,
    births=frozenset({"session.created"}),
)
