"""The short names of fields and states in stored bodies: the one table of them.

A store holds these names as often as it holds records, so each is one to three letters. An id is
for ever: a field that is removed leaves its id in :data:`RETIRED`, and no other field of the class
gets it. At the top of a body, ``v`` is the version of the schema and ``c`` the list of commits. A
class that is not in the table is written with its full names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import fields

from cicd_core.model.agent import Agent, AgentMetrics, StuckJob
from cicd_core.model.deployment import (
    Deployment,
    DeploymentMetrics,
    DeploymentStatus,
    DeploymentTransition,
)
from cicd_core.model.git import GitContext
from cicd_core.model.job import Attempt, Job, JobState, Progress, RetryPolicy, Transition, Verdict
from cicd_core.model.pool import Pool
from cicd_core.model.session import Session
from cicd_core.queueing.lanes import LaneDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import Enum

Ids = dict[str, str]

_JOB: Final[Ids] = {
    "job_id": "i",
    "job_type": "t",
    "state": "s",
    "created_at": "a",
    "pool_name": "p",
    "priority": "pr",
    "labels": "l",
    "payload": "d",
    "git": "g",
    "tags": "tg",
    "metadata": "m",
    "delivery": "dl",
    "retry": "r",
    "timeout_seconds": "to",
    "run_at": "ra",
    "deadline_at": "da",
    "idempotency_key": "ik",
    "request_hash": "rh",
    "tracked": "tr",
    "queued_at": "q",
    "queued_stamp": "qs",
    "ready_at": "y",
    "paused_until": "pu",
    "claimed_at": "k",
    "claimed_stamp": "ks",
    "started_at": "b",
    "completed_at": "e",
    "agent_id": "w",
    "fence": "f",
    "claim_id": "x",
    "attempt": "n",
    "first_started": "fs",
    "attempts_used": "u",
    "max_attempts": "mx",
    "releases": "rl",
    "attempts": "as",
    "verdict": "vd",
    "exit_code": "ec",
    "error_message": "em",
    "logs_url": "lu",
    "logs_summary": "ls",
    "progress": "pg",
    "cancel_requested_at": "cr",
    "cancel_reason": "cn",
    "history": "h",
    "history_left_out": "hl",
}

_DEPLOYMENT: Final[Ids] = {
    "deployment_id": "i",
    "service_name": "n",
    "version": "vn",
    "status": "s",
    "created_at": "a",
    "created_by": "by",
    "environment": "en",
    "git": "g",
    "metadata": "m",
    "build_job_id": "jb",
    "test_job_id": "jt",
    "deploy_job_id": "jd",
    "staging_job_id": "js",
    "production_job_id": "jp",
    "staging_started_at": "sa",
    "staged_at": "sd",
    "production_started_at": "pa",
    "live_at": "la",
    "failed_at": "fa",
    "rolled_back_at": "ba",
    "failed_stage": "fs",
    "error_message": "em",
    "rollback_target": "bt",
    "rollback_reason": "br",
    "metrics": "me",
    "history": "h",
}

_AGENT: Final[Ids] = {
    "agent_id": "i",
    "pool_name": "p",
    "status": "s",
    "incarnation": "x",
    "created_at": "a",
    "registered_at": "ra",
    "labels": "l",
    "job_types": "jt",
    "slots": "sl",
    "hostname": "hn",
    "version": "vn",
    "metadata": "m",
    "heartbeat_at": "ha",
    "metrics": "me",
    "running": "rn",
    "stuck_slots": "ss",
    "stuck": "st",
    "status_reason": "sr",
    "status_changed_at": "sa",
    "drain_reason": "dr",
    "forced_status": "fs",
}

_POOL: Final[Ids] = {
    "pool_name": "i",
    "created_at": "a",
    "updated_at": "ua",
    "region": "rg",
    "zone": "z",
    "min_agents": "mn",
    "max_agents": "mx",
    "target_agents": "ta",
    "warm_agents": "wa",
    "slots_per_agent": "sl",
    "description": "de",
    "metadata": "m",
}

_SESSION: Final[Ids] = {
    "session_id": "i",
    "user_id": "u",
    "created_at": "a",
    "expires_at": "ea",
    "idle_seconds": "is",
    "metadata": "m",
    "calendar_ahead": "ca",
    "logged_out_at": "la",
    "expired_at": "xa",
}

_GIT: Final[Ids] = {
    "repo": "u",
    "ref": "r",
    "commit_sha": "s",
    "commit_message": "m",
    "author": "a",
    "depth": "d",
    "filter": "f",
    "sparse_paths": "p",
    "submodules": "sm",
    "lfs": "l",
}

_RETRY: Final[Ids] = {
    "max_attempts": "m",
    "retry_on": "o",
    "backoff_base": "b",
    "backoff_factor": "f",
    "backoff_max": "x",
    "jitter": "j",
}

_ATTEMPT: Final[Ids] = {
    "number": "n",
    "agent_id": "w",
    "fence": "f",
    "claim_id": "x",
    "claimed_at": "k",
    "started_at": "b",
    "ended_at": "e",
    "ended_by": "by",
    "verdict": "vd",
    "exit_code": "ec",
    "reason": "r",
    "released": "rl",
}

#: A transition is an array of these, and behind them an object with the rest, if there is any.
STEP: Final = ("target", "at", "actor", "reason")
_STEP_REST: Final[Ids] = {"source": "s"}
#: The classes that are written so.
STEPS: Final[Mapping[Any, type[Enum]]] = {
    Transition: JobState,
    DeploymentTransition: DeploymentStatus,
}

#: By class, the id of each field.
FIELD_IDS: Final[Mapping[Any, Ids]] = {
    Job: _JOB,
    GitContext: _GIT,
    RetryPolicy: _RETRY,
    Attempt: _ATTEMPT,
    Progress: {"at": "a", "percent": "p", "message": "m"},
    Transition: _STEP_REST,
    Deployment: _DEPLOYMENT,
    DeploymentTransition: _STEP_REST,
    DeploymentMetrics: {
        "error_rate": "e",
        "latency_ms": "l",
        "requests_per_second": "r",
        "recorded_at": "a",
    },
    Agent: _AGENT,
    AgentMetrics: {"cpu_percent": "c", "memory_percent": "m", "disk_percent": "d"},
    StuckJob: {"job_id": "i", "since": "a", "reason": "r"},
    Pool: _POOL,
    Session: _SESSION,
    LaneDirectory: {"pool_name": "i", "lanes": "l", "seen": "s"},
}

#: By class, the ids of fields that are gone.
RETIRED: Final[Mapping[Any, frozenset[str]]] = {}

#: By class of states, the code of each member.
STATE_CODES: Final[Mapping[Any, Mapping[Any, str]]] = {
    JobState: {
        JobState.PENDING: "p",
        JobState.QUEUED: "q",
        JobState.CLAIMED: "c",
        JobState.RUNNING: "r",
        JobState.SUCCESS: "s",
        JobState.FAILED: "f",
        JobState.TIMEOUT: "t",
        JobState.ERROR: "e",
        JobState.CANCELLED: "x",
        JobState.DEAD_LETTERED: "d",
    },
    Verdict: {
        Verdict.SUCCESS: "s",
        Verdict.FAILED: "f",
        Verdict.TIMEOUT: "t",
        Verdict.ERROR: "e",
        Verdict.CANCELLED: "x",
    },
    DeploymentStatus: {
        DeploymentStatus.PENDING: "p",
        DeploymentStatus.STAGING: "g",
        DeploymentStatus.STAGED: "s",
        DeploymentStatus.PRODUCTION: "d",
        DeploymentStatus.LIVE: "l",
        DeploymentStatus.FAILED: "f",
        DeploymentStatus.ROLLED_BACK: "b",
    },
}


def ids_of(kind: Any) -> Mapping[str, str]:
    """Return the ids of a class's fields, by name; the names themselves if it has none."""
    return FIELD_IDS.get(kind) or full_names(kind)


def full_names(kind: Any) -> Mapping[str, str]:
    """Return the names of a class's fields, each as its own id."""
    return {field.name: field.name for field in fields(kind)}
