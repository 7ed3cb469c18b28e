"""Agents: processes that claim jobs, and their health."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from attrs import field

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.checks import (
    MAX_JOB_TYPES,
    check_integer,
    check_kind,
    check_label,
    check_metadata,
    check_name,
    check_names,
    check_number,
    check_optional_label,
    check_seconds,
)
from cicd_core.model.choices import as_names
from cicd_core.values import frozen

#: The most jobs that one agent may run at once.
MAX_SLOTS = 1024

#: The most stuck jobs that an agent's record names; the others are counted.
MAX_STUCK = 16

#: The highest threshold, in percent: no load reaches it.
_NEVER = 1000.0
_DAY = 24 * 3600.0
#: The longest time that a handler may be reported stuck, in seconds.
_LONGEST_STUCK = 3650 * _DAY


class AgentStatus(StrEnum):
    """The status of an agent."""

    #: It has registered, but has not sent its first heartbeat.
    REGISTERING = "registering"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    #: Its heartbeats stopped; the next one brings it back.
    OFFLINE = "offline"
    #: It finishes its jobs and claims no new ones.
    TERMINATING = "terminating"
    TERMINATED = "terminated"


@frozen(kw_only=True)
class AgentMetrics:
    """The load of an agent's machine, each from 0 to 100; None if not measured."""

    cpu_percent: float | None = None
    memory_percent: float | None = None
    disk_percent: float | None = None


@frozen(kw_only=True)
class StuckReport:
    """An agent's report of a slot that it cannot free: the stopped handler still runs."""

    job_id: str
    #: Seconds since it was stopped.
    seconds: float
    #: The reason for the stop, such as ``timeout``.
    reason: str


@frozen(kw_only=True)
class StuckJob:
    """A job whose stopped handler still runs and so uses a slot of its agent."""

    job_id: str
    #: When it was stopped, on the store's calendar.
    since: datetime
    #: The reason for the stop, such as ``timeout``.
    reason: str


@frozen(kw_only=True)
class LoadThreshold:
    """Loads, in percent, from which a machine is less than healthy; above 100: never."""

    cpu_percent: float
    memory_percent: float
    disk_percent: float


@frozen(kw_only=True)
class HealthPolicy:
    """The limits at which an agent is degraded, unhealthy or offline."""

    degraded: LoadThreshold = LoadThreshold(cpu_percent=85, memory_percent=85, disk_percent=85)
    unhealthy: LoadThreshold = LoadThreshold(cpu_percent=97, memory_percent=97, disk_percent=95)
    #: Seconds after its last heartbeat until an agent is offline.
    heartbeat_ttl: float = 30.0


@frozen(kw_only=True)
class Agent:
    """An agent. Instants are aware UTC datetimes of the store's clock.

    A heartbeat renews the lease of the agent's record, and writes the record only when the health
    or the stuck jobs change. So ``heartbeat_at``, ``metrics`` and ``running`` are those of the
    last write; the lease has the time of the last heartbeat.
    """

    agent_id: str
    pool_name: str
    status: AgentStatus
    #: 128 random bits as hexadecimal digits, new at each start of the agent's process: the claim
    #: id of the lease on its record. Omitted from the repr, which may end up in logs.
    incarnation: str = field(repr=False)
    #: The first registration.
    created_at: datetime
    #: The registration of this incarnation.
    registered_at: datetime

    labels: tuple[str, ...] = ()
    #: The job types that it has handlers for; None: any.
    job_types: tuple[str, ...] | None = None
    #: Number of jobs that it runs at once.
    slots: int = 1
    hostname: str | None = None
    version: str | None = None
    metadata: Mapping[str, str] = field(factory=dict[str, str])

    heartbeat_at: datetime | None = None
    metrics: AgentMetrics | None = None
    #: Slots in use; None if the agent does not report them.
    running: int | None = None
    #: Slots used by stopped handlers that still run: no job gets them until they end.
    stuck_slots: int = 0
    #: The jobs in them, at most 16, the longest stuck first.
    stuck: tuple[StuckJob, ...] = ()
    #: The reason for its status, for people.
    status_reason: str | None = None
    #: The time of the last status change; None before the first.
    status_changed_at: datetime | None = None
    #: The reason for the drain.
    drain_reason: str | None = None
    #: The status that an operator set: heartbeats make it worse, never better.
    forced_status: AgentStatus | None = None

    @property
    def set_by_operator(self) -> bool:
        """Whether an operator forced a status that is still in effect."""
        return self.forced_status is not None

    @property
    def usable_slots(self) -> int:
        """Number of slots that are not stuck."""
        return max(0, self.slots - self.stuck_slots)

    @property
    def takes_work(self) -> bool:
        """Whether it counts as capacity: not draining, gone or unhealthy."""
        return self.status in {AgentStatus.HEALTHY, AgentStatus.DEGRADED}

    @property
    def may_claim(self) -> bool:
        """Whether it gets work; an agent with a missing heartbeat does, since it asks."""
        return self.takes_work or self.status in {AgentStatus.REGISTERING, AgentStatus.OFFLINE}


def _job_types(values: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if values is None else as_names(values)


@frozen(kw_only=True)
class AgentSpec:
    """An agent to register. Any list may be given for a tuple."""

    #: Unique among all agents: 1 to 128 characters of ``A-Z a-z 0-9 . _ : / -``, as all names.
    agent_id: str
    #: The pool whose jobs it claims. ``"default"`` by default.
    pool_name: str = "default"
    #: Its labels, at most 16 names: a job's labels must be among them. None by default.
    labels: tuple[str, ...] = field(default=(), converter=as_names)
    #: The job types that it runs, at most 256; None (the default): any.
    job_types: tuple[str, ...] | None = field(default=None, converter=_job_types)
    #: Number of jobs that it runs at once: 1 to 1,024, 1 by default.
    slots: int = 1
    #: The name of its machine, for people.
    hostname: str | None = None
    #: The version of its program, for people.
    version: str | None = None
    #: Texts by name, for people and your own programs.
    metadata: Mapping[str, str] = field(factory=dict[str, str])


def checked(spec: AgentSpec) -> AgentSpec:
    """Return the spec with its names and metadata sorted.

    Raises:
        InvalidInput: a field is wrong; the error names it.
        TooLarge: a field is over its limit.
    """
    check_kind("spec", spec, AgentSpec)
    job_types = spec.job_types
    if job_types is not None:
        job_types = check_names("job_types", job_types, most=MAX_JOB_TYPES)
        if not job_types:
            raise InvalidInput("job_types", spec.job_types, "give at least one, or None for any")
    return AgentSpec(
        agent_id=check_name("agent_id", spec.agent_id),
        pool_name=check_name("pool_name", spec.pool_name),
        labels=check_names("labels", spec.labels),
        job_types=job_types,
        slots=check_integer("slots", spec.slots, least=1, most=MAX_SLOTS),
        hostname=check_optional_label("hostname", spec.hostname),
        version=check_optional_label("version", spec.version),
        metadata=check_metadata(spec.metadata),
    )


def checked_metrics(metrics: AgentMetrics) -> AgentMetrics:
    """Return the metrics.

    Raises:
        InvalidInput: one is not a number from 0 to 100; the error names it.
    """
    check_kind("metrics", metrics, AgentMetrics)
    for name in ("cpu_percent", "memory_percent", "disk_percent"):
        value = getattr(metrics, name)
        if value is not None:
            check_number(f"metrics.{name}", value, least=0, most=100)
    return metrics


def checked_stuck(stuck: Iterable[StuckReport]) -> tuple[StuckReport, ...]:
    """Return an agent's reports of its stuck slots.

    Raises:
        InvalidInput: it is not a list of reports, a job's id is invalid, or a duration is not a
            number of seconds; the error names the field.
        TooLarge: there are more reports than an agent may have slots.
    """
    given: object = stuck
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidInput("stuck", given, "give a list of StuckReport")
    reports = tuple(stuck)
    if len(reports) > MAX_SLOTS:
        raise TooLarge("stuck", len(reports), MAX_SLOTS, "reports")
    for report in reports:
        check_kind("stuck", report, StuckReport)
        check_name("stuck.job_id", report.job_id)
        check_seconds("stuck.seconds", report.seconds, most=_LONGEST_STUCK)
        check_label("stuck.reason", report.reason)
    return reports


def checked_policy(policy: HealthPolicy) -> HealthPolicy:
    """Return the policy.

    Raises:
        InvalidInput: a threshold is not 0 to 1,000, one of ``degraded`` is above that of
            ``unhealthy``, or the time to live is not 1 ms to a day; the error names the field.
    """
    check_seconds("heartbeat_ttl", policy.heartbeat_ttl, least=0.001, most=_DAY)
    for name in ("cpu_percent", "memory_percent", "disk_percent"):
        worst = getattr(policy.unhealthy, name)
        check_number(f"unhealthy.{name}", worst, least=0, most=_NEVER)
        check_number(f"degraded.{name}", getattr(policy.degraded, name), least=0, most=worst)
    return policy
