"""The embeddable core of a CI/CD control plane.

Jobs, deployments, agents and pools, a priority queue with leases, sessions, events and statistics:
pure values and state machines over one small store contract. Begin with :class:`ControlPlane`.
"""

from __future__ import annotations

from cicd_core.audit import AuditReport, audit
from cicd_core.audit.report import Check, CheckResult, Promise
from cicd_core.control_plane.agents import PresentAgents
from cicd_core.control_plane.dashboard import Summary
from cicd_core.control_plane.events import EventPage
from cicd_core.control_plane.listing import Listed
from cicd_core.control_plane.maintenance import SweepReport
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.control_plane.pools import PoolStatus
from cicd_core.control_plane.sessions import OpenedSession
from cicd_core.errors import (
    AgentReplaced,
    AgentUnfit,
    AlreadyExists,
    CicdError,
    Contention,
    CorruptRecord,
    ForeignDatabase,
    IdempotencyConflict,
    IllegalTransition,
    InvalidCursor,
    InvalidInput,
    LeaseLost,
    NewerSchema,
    NotFound,
    Refused,
    SchemaTooOld,
    SessionRejected,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreReplaced,
    StoreUnavailable,
    TooLarge,
    TooManyLanes,
    UnknownScheme,
    UnsupportedCapability,
)
from cicd_core.model.agent import Agent as AgentRecord
from cicd_core.model.agent import AgentMetrics, AgentSpec, AgentStatus, StuckJob, StuckReport
from cicd_core.model.claim import Claimed, JobToken, LeaseStatus
from cicd_core.model.deployment import (
    Deployment,
    DeploymentMetrics,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentTransition,
)
from cicd_core.model.event import Event, LogGap, UnreadableEvent
from cicd_core.model.git import GitContext, ObjectFilter, Submodules
from cicd_core.model.job import (
    Attempt,
    Delivery,
    Job,
    JobState,
    JobStatus,
    Priority,
    Progress,
    QueueStatus,
    RetryPolicy,
    Token,
    Transition,
    Verdict,
)
from cicd_core.model.outcome import Outcome
from cicd_core.model.pool import Pool, PoolSpec
from cicd_core.model.session import Session
from cicd_core.model.spec import JobSpec
from cicd_core.queueing.scaling import (
    Fleet,
    Load,
    PoolCondition,
    PoolHealth,
    ScalingSignal,
    ScalingTerm,
)
from cicd_core.queueing.stats import QueueStats
from cicd_core.queueing.why import Reason, ReasonCode
from cicd_core.settings import Settings
from cicd_core.store.registry import open_store

__all__ = [
    "AgentMetrics",
    "AgentRecord",
    "AgentReplaced",
    "AgentSpec",
    "AgentStatus",
    "AgentUnfit",
    "AlreadyExists",
    "Attempt",
    "AuditReport",
    "Check",
    "CheckResult",
    "CicdError",
    "Claimed",
    "Contention",
    "ControlPlane",
    "CorruptRecord",
    "Delivery",
    "Deployment",
    "DeploymentMetrics",
    "DeploymentSpec",
    "DeploymentStatus",
    "DeploymentTransition",
    "Event",
    "EventPage",
    "Fleet",
    "ForeignDatabase",
    "GitContext",
    "IdempotencyConflict",
    "IllegalTransition",
    "InvalidCursor",
    "InvalidInput",
    "Job",
    "JobSpec",
    "JobState",
    "JobStatus",
    "JobToken",
    "LeaseLost",
    "LeaseStatus",
    "Listed",
    "Load",
    "LogGap",
    "NewerSchema",
    "NotFound",
    "ObjectFilter",
    "OpenedSession",
    "Outcome",
    "Pool",
    "PoolCondition",
    "PoolHealth",
    "PoolSpec",
    "PoolStatus",
    "PresentAgents",
    "Priority",
    "Progress",
    "Promise",
    "QueueStats",
    "QueueStatus",
    "Reason",
    "ReasonCode",
    "Refused",
    "RetryPolicy",
    "ScalingSignal",
    "ScalingTerm",
    "SchemaTooOld",
    "Session",
    "SessionRejected",
    "Settings",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreReplaced",
    "StoreUnavailable",
    "StuckJob",
    "StuckReport",
    "Submodules",
    "Summary",
    "SweepReport",
    "Token",
    "TooLarge",
    "TooManyLanes",
    "Transition",
    "UnknownScheme",
    "UnreadableEvent",
    "UnsupportedCapability",
    "Verdict",
    "audit",
    "open_store",
]
