"""Requests of chains: the keys of their dictionaries, for type checkers and editors.

A key without ``NotRequired`` is required: without it, the chain returns an ``error``.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from cicd_core.model.claim import ClaimedJob, ClaimRef


class Actor(TypedDict):
    """The caller, for the history of the entity."""

    actor: NotRequired[str]


class NewJob(Actor):
    """A tracked run."""

    job_type: str
    git_repo: str
    git_commit_sha: str
    git_author: str
    git_ref: NotRequired[str]
    git_commit_message: NotRequired[str]
    tags: NotRequired[Mapping[str, str]]
    pool_name: NotRequired[str]
    idempotency_key: NotRequired[str]


class EndOfJob(Actor):
    """The end of a run."""

    job_id: str
    exit_code: int
    #: Seconds.
    duration_seconds: NotRequired[float]
    agent_id: NotRequired[str]
    logs_url: NotRequired[str]
    logs_summary: NotRequired[str]
    error_message: NotRequired[str]


class JobsWanted(TypedDict):
    """A filter of jobs."""

    status: NotRequired[str]
    limit: NotRequired[int]


class NewDeployment(Actor):
    """A version of a service to deploy."""

    service_name: str
    service_version: str
    git_commit_sha: str
    git_author: str
    git_commit_message: NotRequired[str]
    git_repo: NotRequired[str]
    git_ref: NotRequired[str]
    build_job_id: NotRequired[str]
    test_job_id: NotRequired[str]
    environment: NotRequired[str]
    deployment_id: NotRequired[str]


class DeploymentsWanted(TypedDict):
    """A filter of deployments."""

    service_name: NotRequired[str]
    limit: NotRequired[int]


class NewAgent(TypedDict):
    """An agent to register."""

    pool_name: str
    agent_id: NotRequired[str]
    version: NotRequired[str]
    labels: NotRequired[list[str]]
    hostname: NotRequired[str]
    max_concurrent_jobs: NotRequired[int]


class Heartbeat(TypedDict):
    """An agent's heartbeat. Loads are percentages, 0 to 100."""

    agent_id: str
    incarnation: str
    cpu_percent: NotRequired[float]
    memory_percent: NotRequired[float]
    disk_percent: NotRequired[float]
    current_job_count: NotRequired[int]


class AgentsWanted(TypedDict):
    """A filter of agents."""

    pool_name: NotRequired[str]
    status: NotRequired[str]
    limit: NotRequired[int]


class StatusOfAgent(Actor):
    """A status that an operator sets for an agent."""

    agent_id: str
    status: str
    reason: NotRequired[str]


class GoneAgent(Actor):
    """An agent to deregister."""

    agent_id: str
    reason: NotRequired[str]


class QueuedJob(Actor):
    """A job for the queue."""

    job_type: str
    pool_name: str
    job_id: NotRequired[str]
    payload: NotRequired[Mapping[str, Any]]
    labels: NotRequired[list[str]]
    priority: NotRequired[str]
    #: Seconds.
    timeout_seconds: NotRequired[float]
    max_attempts: NotRequired[int]
    git_repo: NotRequired[str]
    git_ref: NotRequired[str]
    git_commit_sha: NotRequired[str]
    git_commit_message: NotRequired[str]
    git_author: NotRequired[str]
    tags: NotRequired[Mapping[str, str]]


class WantedWork(TypedDict):
    """An agent that asks for a job."""

    agent_id: str
    pool_name: str
    labels: NotRequired[list[str]]
    job_types: NotRequired[list[str]]
    #: Seconds.
    lease_duration_seconds: NotRequired[float]
    request_id: NotRequired[str]


class Claimed(TypedDict):
    """A claimed job."""

    claim: ClaimedJob | ClaimRef


class EndOfAttempt(Claimed):
    """The end of a claimed job."""

    exit_code: int
    error_message: NotRequired[str]
    logs_url: NotRequired[str]
    logs_summary: NotRequired[str]


class NoRequest(TypedDict):
    """A request without further fields."""


class PoolWanted(TypedDict):
    """A pool; all pools by default."""

    pool_name: NotRequired[str]
