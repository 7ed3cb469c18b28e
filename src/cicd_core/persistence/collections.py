"""The collections: the attributes of each entity, and the indexes that find it.

A database names its indexes after these attributes: ``status-created_at-index`` and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.model.instants import sort_key, to_micros
from cicd_core.model.job import Job, JobState, JobStatus
from cicd_core.queueing.lanes import lane_of
from cicd_core.queueing.rank import rank_of
from cicd_core.store.records import Collection, Index

if TYPE_CHECKING:
    from cicd_core.model.agent import Agent
    from cicd_core.model.deployment import Deployment
    from cicd_core.model.pool import Pool
    from cicd_core.model.session import Session
    from cicd_core.store.records import Lease

#: Jobs that can be claimed, by lane, best rank first.
READY: Final = Index("lane", "rank")
BY_STATUS: Final = Index("status", "created_at")
#: ``POOL|STATUS``: of jobs and of agents, see :func:`of_pool`. Each partition is a part of one of
#: :data:`BY_STATUS`, in the same order: a store with expensive writes may read that one instead.
BY_POOL: Final = Index("pool_status", "created_at")
BY_AGENT: Final = Index("agent_id", "created_at")
#: Records that maintenance must look at, and the earliest moment for it: see the values below.
TIMERS: Final = Index("timer", "due")
DEAD_LETTERS: Final = Index("dead_letter", "created_at")

JOBS: Final = Collection(
    name="jobs",
    indexes=(READY, BY_STATUS, BY_POOL, BY_AGENT, TIMERS, DEAD_LETTERS),
    lease_sort="due",
)

#: The timers of jobs. A job waits for its time to become ready (DELAYED), the end of its pause
#: after a retry or a release (PAUSED), its deadline while it is ready or pending (WAITING), or the
#: expiry of its lease (LEASED). All pools share the partitions, so that the cost of a look at the
#: due jobs does not grow with the number of pools. A store whose partitions have a limit splits
#: them into shards by itself.
DELAYED: Final = "delayed"
PAUSED: Final = "paused"
WAITING: Final = "waiting"
LEASED: Final = "leased"
JOB_TIMERS: Final = (DELAYED, PAUSED, WAITING, LEASED)
#: The timers that are due by the store's steady clock; the others are due by its calendar.
STEADY_TIMERS: Final = frozenset({PAUSED, LEASED})
#: The one value of ``dead_letter``.
DEAD: Final = "dead_lettered"

#: The value, in the indexes by status, of a queued job that became ready later than it was created.
#: Jobs in ``queued`` were ready at once, so that the first of them has been ready for longest.
LATE: Final = "queued-late"
#: Runs that something else executes: they are listed as running, and no timer waits for them.
TRACKED: Final = "tracked"
_MORE_STATUSES: Final = {JobStatus.QUEUED: (LATE, DELAYED), JobStatus.RUNNING: (TRACKED,)}

BY_SERVICE: Final = Index("service_name", "created_at")
BY_DEPLOYMENT_STATUS: Final = Index("deployment_status", "created_at")

DEPLOYMENTS: Final = Collection(name="deployments", indexes=(BY_SERVICE, BY_DEPLOYMENT_STATUS))

#: An agent's lease is its heartbeat: the agent is in TIMERS while a heartbeat is expected.
AGENTS: Final = Collection(name="agents", indexes=(BY_POOL, BY_STATUS, TIMERS), lease_sort="due")
HEARTBEAT: Final = "heartbeat"

BY_KIND: Final = Index("kind", "created_at")
POOL_KIND: Final = "pool"

POOLS: Final = Collection(name="agent-pools", indexes=(BY_KIND,))

#: One record per pool: its lanes. ``changed_at`` changes when a lane is added.
LANE_CHANGES: Final = Index("pool_name", "changed_at")
#: The records of all pools that ever had work.
ALL_LANES: Final = Index("kind", "changed_at")
LANES: Final = Collection(name="lanes", indexes=(LANE_CHANGES, ALL_LANES))
LANES_KIND: Final = "lanes"

BY_USER: Final = Index("user_id", "created_at")

#: A session's lease is its idle expiry; the limit of the lease is the absolute expiry.
SESSIONS: Final = Collection(name="sessions", indexes=(BY_USER,), is_secret=True)

#: One record per duty that only one of all control planes does: the holder of its lease. No index
#: finds it.
COORDINATION: Final = Collection(name="coordination", indexes=())

_STATUS_TEXTS: Final = {status: status.value for status in JobStatus}
_HELD = (JobState.CLAIMED, JobState.RUNNING)


def job_attributes(job: Job, lease: Lease | None) -> dict[str, str]:
    """Return the attributes of a job's record; ``lease`` is the one that it will have."""
    status = _status_of(job)
    attributes = {
        "status": status,
        "pool_status": of_pool(job.pool_name, status),
        "created_at": sort_key(to_micros(job.created_at), job.job_id),
    }
    if job.agent_id is not None:
        attributes["agent_id"] = job.agent_id
    if job.state is JobState.DEAD_LETTERED:
        attributes["dead_letter"] = DEAD
    if job.state is JobState.QUEUED and job.ready_at is not None:
        attributes["lane"] = lane_of(job).key
        attributes["rank"] = rank_of(job)
    timer = _timer(job, lease)
    if timer is not None:
        kind, due = timer
        attributes["timer"] = kind
        attributes["due"] = sort_key(due, job.job_id)
    return attributes


def of_pool(pool_name: str, status: str) -> str:
    """Return the partition of :data:`BY_POOL` for one status of a pool's jobs, or agents."""
    return f"{pool_name}|{status}"


def job_statuses(status: JobStatus | None = None) -> tuple[str, ...]:
    """Return the values of the indexes by status that hold jobs of a status; None: of any."""
    if status is None:
        return tuple(value for item in JobStatus for value in job_statuses(item))
    return (status.value, *_MORE_STATUSES.get(status, ()))


def _status_of(job: Job) -> str:
    status = job.status
    if status is JobStatus.RUNNING:
        return TRACKED if job.tracked else _STATUS_TEXTS[status]
    if status is not JobStatus.QUEUED:
        return _STATUS_TEXTS[status]
    if job.ready_at is None:
        return DELAYED
    return _STATUS_TEXTS[status] if job.ready_at == job.created_at else LATE


def _timer(job: Job, lease: Lease | None) -> tuple[str, int] | None:
    """Return the timer of a job, and the earliest moment (µs) at which it may be due."""
    if job.is_final or job.state is JobState.DEAD_LETTERED:
        return None
    if job.state in _HELD and lease is not None:
        return LEASED, lease.expires
    if job.tracked:
        return None
    deadline = None if job.start_deadline is None else to_micros(job.start_deadline)
    if job.state is JobState.QUEUED and job.ready_at is None:
        run_at = to_micros(job.run_at or job.created_at)
        kind, due = (DELAYED, run_at) if job.paused_until is None else (PAUSED, job.paused_until)
        # A deadline is on the calendar: if that is behind, a pause is looked at before its end.
        return kind, due if deadline is None else min(due, deadline)
    return None if deadline is None else (WAITING, deadline)


def deployment_attributes(deployment: Deployment) -> dict[str, str]:
    """Return the attributes of a deployment's record."""
    return {
        "service_name": deployment.service_name,
        "deployment_status": deployment.status.value,
        "created_at": sort_key(to_micros(deployment.created_at), deployment.deployment_id),
    }


def agent_attributes(agent: Agent, lease: Lease | None) -> dict[str, str]:
    """Return the attributes of an agent's record; with a lease, maintenance watches it."""
    attributes = {
        "pool_status": of_pool(agent.pool_name, agent.status.value),
        "status": agent.status.value,
        "created_at": sort_key(to_micros(agent.created_at), agent.agent_id),
    }
    if lease is not None:
        attributes["timer"] = HEARTBEAT
        attributes["due"] = sort_key(lease.expires, agent.agent_id)
    return attributes


def pool_attributes(pool: Pool) -> dict[str, str]:
    """Return the attributes of a pool's record."""
    return {"kind": POOL_KIND, "created_at": sort_key(to_micros(pool.created_at), pool.pool_name)}


def session_attributes(session: Session) -> dict[str, str]:
    """Return the attributes of a session's record."""
    return {
        "user_id": session.user_id,
        "created_at": sort_key(to_micros(session.created_at), session.session_id),
    }
