"""An agent: a process that asks for work, and how well it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from attrs import field, frozen

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

#: The most jobs that one agent may run at once.
MAX_SLOTS = 1024

#: The most stuck jobs that an agent's record names; the others are counted.
MAX_STUCK = 16

#: The highest threshold, in percent: no load reaches it.
_NEVER = 1000.0
_DAY = 24 * 3600.0
#: How long a handler may be stuck, in seconds, so that the moment can be told.
_LONGEST_STUCK = 3650 * _DAY


class AgentStatus(StrEnum):
    """How an agent is."""

    #: It has registered, and its first heartbeat has not come yet.
    REGISTERING = "registering"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    #: Its heartbeats stopped; the next one brings it back.
    OFFLINE = "offline"
    #: It finishes what it runs and takes nothing new.
    TERMINATING = "terminating"
    TERMINATED = "terminated"


@frozen(kw_only=True)
class AgentMetrics:
    """The load of an agent's machine, each from 0 to 100; what was not measured is None."""

    cpu_percent: float | None = None
    memory_percent: float | None = None
    disk_percent: float | None = None


@frozen(kw_only=True)
class StuckReport:
    """What an agent says of a slot that it can't free: the handler was stopped, and goes on."""

    job_id: str
    #: For how many seconds it has gone on since it was stopped.
    seconds: float
    #: Why it was stopped, such as ``timeout``.
    why: str


@frozen(kw_only=True)
class StuckJob:
    """A job whose handler was stopped and goes on, so that it takes a slot of its agent."""

    job_id: str
    #: When it was stopped, on the store's calendar.
    since: datetime
    #: Why it was stopped, such as ``timeout``.
    why: str


@frozen(kw_only=True)
class LoadThreshold:
    """From which load on, in percent, a machine is less than healthy; above 100 means never."""

    cpu_percent: float
    memory_percent: float
    disk_percent: float


@frozen(kw_only=True)
class HealthPolicy:
    """What makes an agent degraded, unhealthy or offline."""

    degraded: LoadThreshold = LoadThreshold(cpu_percent=85, memory_percent=85, disk_percent=85)
    unhealthy: LoadThreshold = LoadThreshold(cpu_percent=97, memory_percent=97, disk_percent=95)
    #: Seconds after its last heartbeat from which an agent is offline.
    heartbeat_ttl: float = 30.0


@frozen(kw_only=True)
class Agent:
    """An agent. Instants are aware UTC datetimes of the store's clock.

    A heartbeat renews the lease of the agent's record, and writes the record only when the health
    or the stuck jobs change: ``heartbeat_at``, ``metrics`` and ``running`` are those of the last
    write, and the lease knows better when the agent was heard of last.
    """

    agent_id: str
    pool_name: str
    status: AgentStatus
    #: 128 random bits as hexadecimal digits, one a start of the agent's process: the claim id of
    #: the lease on its record.
    incarnation: str
    #: The first registration ever.
    created_at: datetime
    #: The registration of this incarnation.
    registered_at: datetime

    labels: tuple[str, ...] = ()
    #: The types of jobs that it has handlers for; None: any.
    job_types: tuple[str, ...] | None = None
    #: How many jobs it runs at once.
    slots: int = 1
    hostname: str | None = None
    version: str | None = None
    metadata: Mapping[str, str] = field(factory=dict[str, str])

    heartbeat_at: datetime | None = None
    metrics: AgentMetrics | None = None
    #: Slots in use; None where the agent does not say.
    running: int | None = None
    #: Slots in use by handlers that were stopped and go on: no job gets them until they end.
    stuck_slots: int = 0
    #: The jobs in them, at most 16, those that are stuck for the longest time first.
    stuck: tuple[StuckJob, ...] = ()
    #: Why it is as it is, for people.
    status_reason: str | None = None
    #: Since when it is as it is; None before its first change.
    status_changed_at: datetime | None = None
    #: Why it drains.
    drain_reason: str | None = None
    #: What an operator said of its health: heartbeats make it worse, never better.
    forced_status: AgentStatus | None = None

    @property
    def set_by_operator(self) -> bool:
        """Whether an operator forced a status that still holds."""
        return self.forced_status is not None

    @property
    def usable_slots(self) -> int:
        """How many of its slots are not stuck."""
        return max(0, self.slots - self.stuck_slots)

    @property
    def takes_work(self) -> bool:
        """Whether it counts as capacity: not draining, gone, or unhealthy."""
        return self.status in {AgentStatus.HEALTHY, AgentStatus.DEGRADED}

    @property
    def may_claim(self) -> bool:
        """Whether work is given to it: to one whose heartbeat is missing too, since it asks."""
        return self.takes_work or self.status in {AgentStatus.REGISTERING, AgentStatus.OFFLINE}


@frozen(kw_only=True)
class AgentSpec:
    """An agent that registers. The fields mean what they mean on :class:`Agent`."""

    agent_id: str
    pool_name: str = "default"
    labels: tuple[str, ...] = ()
    job_types: tuple[str, ...] | None = None
    slots: int = 1
    hostname: str | None = None
    version: str | None = None
    metadata: Mapping[str, str] = field(factory=dict[str, str])


def checked(spec: AgentSpec) -> AgentSpec:
    """Return the spec with its names and its metadata sorted.

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
        InvalidInput: one is no number from 0 to 100; the error names it.
    """
    check_kind("metrics", metrics, AgentMetrics)
    for name in ("cpu_percent", "memory_percent", "disk_percent"):
        value = getattr(metrics, name)
        if value is not None:
            check_number(f"metrics.{name}", value, least=0, most=100)
    return metrics


def checked_stuck(stuck: Iterable[StuckReport]) -> tuple[StuckReport, ...]:
    """Return what an agent says of its stuck slots.

    Raises:
        InvalidInput: it is no list of reports, a job's id is none, or a duration is no number of
            seconds; the error names the field.
        TooLarge: there are more than an agent may have slots.
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
        check_label("stuck.why", report.why)
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
