"""The embeddable core of a CI/CD control plane.

Jobs, deployments, agents and pools, a priority queue with leases, sessions, events and statistics:
pure values and state machines over one small store contract. Begin with :class:`ControlPlane`.
"""

from __future__ import annotations

from cicd_core.audit import AuditReport
from cicd_core.audit.report import Check, CheckResult, Promise
from cicd_core.control_plane.agents import PresentAgents
from cicd_core.control_plane.dashboard import DashboardSummary
from cicd_core.control_plane.events import EventPage
from cicd_core.control_plane.listing import Page
from cicd_core.control_plane.maintenance import SweepReport
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.control_plane.pools import PoolStatus
from cicd_core.control_plane.sessions import IssuedSession
from cicd_core.errors import (
    AgentReplaced,
    AgentUnavailable,
    AlreadyExists,
    CicdError,
    CorruptRecord,
    IdempotencyConflict,
    IllegalTransition,
    InvalidCursor,
    InvalidInput,
    LeaseLost,
    NotFound,
    OperationRejected,
    SchemaTooNew,
    SchemaTooOld,
    SessionRejected,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreReplaced,
    StoreUnavailable,
    TooLarge,
    TooManyConflicts,
    TooManyLanes,
    UnknownScheme,
    UnrecognizedDatabase,
    UnsupportedCapability,
)
from cicd_core.model.agent import Agent as AgentInfo
from cicd_core.model.agent import AgentMetrics, AgentSpec, AgentStatus, StuckJob, StuckReport
from cicd_core.model.claim import ClaimedJob, ClaimRef, LeaseStatus
from cicd_core.model.deployment import (
    Deployment,
    DeploymentMetrics,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentTransition,
)
from cicd_core.model.event import Event, EventGap, UnreadableEvent
from cicd_core.model.git import GitContext, ObjectFilter, Submodules
from cicd_core.model.job import (
    Attempt,
    Delivery,
    Job,
    JobState,
    JobStatus,
    LeaseToken,
    Priority,
    Progress,
    QueueStatus,
    RetryPolicy,
    Transition,
    Verdict,
)
from cicd_core.model.outcome import Outcome
from cicd_core.model.pool import Pool, PoolSpec
from cicd_core.model.session import Session
from cicd_core.model.spec import JobSpec
from cicd_core.persistence.collections import COLLECTIONS
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
    "COLLECTIONS",
    "AgentInfo",
    "AgentMetrics",
    "AgentReplaced",
    "AgentSpec",
    "AgentStatus",
    "AgentUnavailable",
    "AlreadyExists",
    "Attempt",
    "AuditReport",
    "Check",
    "CheckResult",
    "CicdError",
    "ClaimRef",
    "ClaimedJob",
    "ControlPlane",
    "CorruptRecord",
    "DashboardSummary",
    "Delivery",
    "Deployment",
    "DeploymentMetrics",
    "DeploymentSpec",
    "DeploymentStatus",
    "DeploymentTransition",
    "Event",
    "EventGap",
    "EventPage",
    "Fleet",
    "GitContext",
    "IdempotencyConflict",
    "IllegalTransition",
    "InvalidCursor",
    "InvalidInput",
    "IssuedSession",
    "Job",
    "JobSpec",
    "JobState",
    "JobStatus",
    "LeaseLost",
    "LeaseStatus",
    "LeaseToken",
    "Load",
    "NotFound",
    "ObjectFilter",
    "OperationRejected",
    "Outcome",
    "Page",
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
    "RetryPolicy",
    "ScalingSignal",
    "ScalingTerm",
    "SchemaTooNew",
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
    "SweepReport",
    "TooLarge",
    "TooManyConflicts",
    "TooManyLanes",
    "Transition",
    "UnknownScheme",
    "UnreadableEvent",
    "UnrecognizedDatabase",
    "UnsupportedCapability",
    "Verdict",
    "open_store",
]
