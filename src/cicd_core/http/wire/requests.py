"""The bodies and query strings of requests; unknown fields are refused.

Types are checked here; limits are checked by the value that a request becomes, as in a program.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field, structs

from cicd_core.model.agent import AgentMetrics, AgentSpec, StuckReport
from cicd_core.model.claim import ClaimRef
from cicd_core.model.git import GitContext, ObjectFilter, Submodules
from cicd_core.model.job import Delivery, LeaseToken, Priority, RetryPolicy, Verdict
from cicd_core.model.outcome import Outcome
from cicd_core.model.pool import PoolSpec
from cicd_core.model.spec import JobSpec

#: For the description of the API; the values that requests become check these limits.
_NAME: Final = r"^(?!\.{1,2}$)[A-Za-z0-9._:/-]+$"
Name = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 128, "pattern": _NAME})]
Label = Annotated[str, Meta(extra_json_schema={"minLength": 1})]
Limit = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": 500})]
#: Maximum number of jobs that one request creates, of leases that it renews, and of dead letters
#: that it queues again.
MAX_JOBS: Final = 1000
MAX_RENEWALS: Final = 1024
MAX_REPLAYS: Final = 100
#: An instant with a time zone, as ISO 8601.
Instant = Annotated[datetime, Meta(tz=True)]
PriorityName = Literal["critical", "high", "normal", "low"]


class Asked(Struct, forbid_unknown_fields=True, kw_only=True):
    """The parameters of a request; unknown fields are refused."""

    def fields(self) -> dict[str, Any]:
        """Return the values of the fields, by their names."""
        return structs.asdict(self)


class Nothing(Asked):
    """A request without parameters."""


class GitBody(Asked):
    """The git context; the fields of :class:`~cicd_core.model.git.GitContext`."""

    repo: str
    ref: str | None = None
    commit_sha: str | None = None
    commit_message: str | None = None
    author: str | None = None
    depth: int | None = None
    filter: ObjectFilter | None = None
    sparse_paths: tuple[str, ...] = ()
    submodules: Submodules | None = None
    lfs: bool | None = None

    def value(self) -> GitContext:
        """Return it as a value of the library."""
        return GitContext(**self.fields())


class RetryBody(Asked):
    """The retry policy; the fields of ``RetryPolicy``."""

    max_attempts: int = 3
    retry_on: tuple[Verdict, ...] = (Verdict.ERROR,)
    backoff_base: float = 2.0
    backoff_factor: float = 2.0
    backoff_max: float = 300.0
    jitter: float = 0.5

    def value(self) -> RetryPolicy:
        """Return it as a value of the library."""
        return RetryPolicy(**self.fields())


class JobBody(Asked):
    """A job to create; the fields of :class:`~cicd_core.model.spec.JobSpec`."""

    job_type: Name
    payload: dict[str, Any] = {}
    pool_name: Name = "default"
    priority: PriorityName = "normal"
    labels: tuple[Name, ...] = ()
    git: GitBody | None = None
    tags: tuple[Name, ...] = ()
    metadata: dict[str, str] = {}
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    retry: RetryBody = field(default_factory=RetryBody)
    timeout_seconds: float = 3600.0
    run_at: Instant | None = None
    deadline_at: Instant | None = None
    delay_seconds: float | None = None
    deadline_seconds: float | None = None
    idempotency_key: Label | None = None

    def value(self) -> JobSpec:
        """Return it as a value of the library."""
        given = self.fields()
        given["priority"] = Priority[self.priority.upper()]
        given["git"] = None if self.git is None else self.git.value()
        given["retry"] = self.retry.value()
        return JobSpec(**given)


class JobsBody(Asked):
    """Jobs to create."""

    jobs: Annotated[list[JobBody], Meta(extra_json_schema={"maxItems": MAX_JOBS})]


class HeldBody(Asked):
    """A query for the jobs of a claim; the arguments of ``queue.held``."""

    agent_id: Name
    request_id: Label
    lease_seconds: float | None = None


class TokenBody(Asked):
    """The token of a lease, from the answer to its claim."""

    fence: int
    claim_id: str


class HolderBody(Asked):
    """The proof of a job's holder."""

    token: TokenBody
    lease_seconds: float | None = None
    version: int | None = None

    def reference(self, job_id: str, agent_id: str | None) -> ClaimRef:
        """Return it as a value of the library; ``agent_id`` is the calling agent."""
        return ClaimRef(
            job_id=job_id,
            token=LeaseToken(fence=self.token.fence, claim_id=self.token.claim_id),
            lease_seconds=self.lease_seconds,
            version=self.version,
            agent_id=agent_id,
        )


class ProgressBody(HolderBody):
    """The progress of a job."""

    percent: float | None = None
    message: str | None = None


class OutcomeBody(Asked):
    """The result of an attempt; the fields of :class:`~cicd_core.model.outcome.Outcome`."""

    verdict: Verdict
    exit_code: int | None = None
    error_message: str | None = None
    logs_url: str | None = None
    logs_summary: str | None = None

    def value(self) -> Outcome:
        """Return it as a value of the library."""
        return Outcome(**self.fields())


class CompleteBody(HolderBody, kw_only=True):
    """The end of an attempt."""

    outcome: OutcomeBody


class ReleaseBody(HolderBody):
    """The release of a job."""

    reason: str = "released"
    began: bool = True


class RenewalBody(HolderBody, kw_only=True):
    """One lease to renew."""

    job_id: Name


class RenewBody(Asked):
    """The leases to renew."""

    claims: Annotated[list[RenewalBody], Meta(extra_json_schema={"maxItems": MAX_RENEWALS})]


class ReasonBody(Asked):
    """A command with its reason."""

    reason: str


class CancelBody(Asked):
    """A cancel."""

    reason: str = "cancelled"


class PriorityBody(Asked):
    """A new priority."""

    priority: PriorityName

    def value(self) -> Priority:
        """Return it as a value of the library."""
        return Priority[self.priority.upper()]


class ReplayBody(Asked):
    """A dead letter to queue again."""

    attempts: int | None = None


class ReplaysBody(Asked):
    """Dead letters to queue again."""

    job_ids: Annotated[list[Name], Meta(extra_json_schema={"maxItems": MAX_REPLAYS})]
    attempts: int | None = None


#: Paths below ``/api/agents`` that can't be an agent's id.
RESERVED_AGENT_IDS: Final = frozenset({"healthy", "pools", "register"})


class AgentBody(Asked):
    """An agent that registers; the fields of :class:`~cicd_core.model.agent.AgentSpec`."""

    agent_id: Name
    pool_name: Name = "default"
    labels: tuple[Name, ...] = ()
    job_types: tuple[Name, ...] | None = None
    slots: int = 1
    hostname: str | None = None
    version: Label | None = None
    metadata: dict[str, str] = {}

    def value(self) -> AgentSpec:
        """Return it as a value of the library."""
        return AgentSpec(**self.fields())


class MetricsBody(Asked):
    """The load of an agent's machine, each from 0 to 100."""

    cpu_percent: float | None = None
    memory_percent: float | None = None
    disk_percent: float | None = None


class StuckBody(Asked):
    """A slot that an agent can't free."""

    job_id: Name
    seconds: float
    reason: str


class HeartbeatBody(Asked):
    """A heartbeat; the arguments of ``agents.heartbeat``."""

    incarnation: str
    metrics: MetricsBody | None = None
    running: int | None = None
    fault: str | None = None
    stuck: list[StuckBody] = []

    def load(self) -> AgentMetrics | None:
        """Return the metrics as a value of the library."""
        return None if self.metrics is None else AgentMetrics(**self.metrics.fields())

    def stuck_reports(self) -> list[StuckReport]:
        """Return the stuck slots as values of the library."""
        return [StuckReport(**each.fields()) for each in self.stuck]


class StatusBody(Asked):
    """An agent's status, set by an operator."""

    status: str
    reason: str


class LeavingBody(Asked):
    """The drain of an agent; its own process names its incarnation."""

    reason: str
    incarnation: str | None = None


class DeregisterBody(Asked):
    """The deregistration of an agent; its own process names its incarnation."""

    reason: str = "deregistered"
    incarnation: str | None = None


class PoolBody(Asked):
    """A pool; the fields of :class:`~cicd_core.model.pool.PoolSpec`, its name is in the path."""

    region: Name | None = None
    zone: Name | None = None
    min_agents: int = 0
    max_agents: int = 10
    target_agents: int | None = None
    warm_agents: int = 0
    slots_per_agent: int = 1
    description: str = ""
    metadata: dict[str, str] = {}

    def value(self, pool_name: str) -> PoolSpec:
        """Return it as a value of the library."""
        return PoolSpec(pool_name=pool_name, **self.fields())


class ScaleBody(Asked):
    """A fixed size; null: as the queue needs."""

    target_agents: int | None


class PageQuery(Asked):
    """A page of a list."""

    limit: Limit = 50
    cursor: str | None = None


class AgentsQuery(PageQuery):
    """The filters of agents."""

    pool_name: Name | None = None
    status: str | None = None


class HealthyQuery(PageQuery):
    """The filters of healthy agents."""

    pool_name: Name | None = None


class JobsQuery(PageQuery):
    """The filters of jobs."""

    status: str | None = None
    agent_id: Name | None = None
    pool_name: Name | None = None
    job_type: Name | None = None
    #: A tag, or ``name=value`` of the metadata.
    tag: Label | None = None
    id_prefix: Name | None = None
    since: Instant | None = None
    until: Instant | None = None


class StatsQuery(Asked):
    """The pool and period of statistics."""

    pool_name: Name | None = None
    since: Instant | None = None


class ReadyQuery(Asked):
    """The pool whose next jobs to list, and their maximum number."""

    pool_name: Name = "default"
    limit: Limit = 50


class DeletePoolQuery(Asked):
    """Options for the deletion of a pool."""

    force: bool = False
