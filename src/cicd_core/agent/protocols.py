"""What the runtime needs: the control plane itself, or a client of it, as protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.job_logs.contract import LogState
    from cicd_core.model.agent import Agent, AgentMetrics, AgentSpec, StuckReport
    from cicd_core.model.claim import (
        ClaimedJob,
        ClaimRef,
        ClaimRequest,
        Exchanged,
        LeaseStatus,
    )
    from cicd_core.model.job import Job
    from cicd_core.model.outcome import Outcome


class WorkQueue(Protocol):
    """Gives jobs to agents, and takes their outcomes.

    Every method raises ``StoreUnavailable`` (``retryable``) if the control plane can't be reached;
    the same call may then be repeated. Methods that take a ``ClaimedJob`` raise ``LeaseLost`` if
    that claim no longer owns the job.
    """

    async def claim(
        self,
        *,
        agent_id: str,
        pool_name: str = "default",
        labels: Collection[str] = (),
        job_types: Collection[str] | None = None,
        limit: int = 1,
        wait: float = 0.0,
        start: bool = False,
        lease_seconds: float | None = None,
        request_id: str | None = None,
    ) -> list[ClaimedJob]:
        """Return up to ``limit`` jobs, best first; wait up to ``wait`` seconds for the first one.

        With ``start``, the jobs are already RUNNING. A repeated call with the same ``request_id``
        returns the jobs of the first call that are still held, or takes new ones if none is. Raises
        ``AgentUnavailable`` while the agent is unhealthy or drains, and holds nothing by that
        request.
        """
        ...

    async def held(
        self, *, agent_id: str, request_id: str, lease_seconds: float | None = None
    ) -> list[ClaimedJob]:
        """Return the jobs that a claim with this request id still holds; never take new ones."""
        ...

    async def start(self, claimed: ClaimedJob) -> ClaimedJob:
        """Acknowledge the start; the handler runs only after this has returned."""
        ...

    async def renew(self, claims: Sequence[ClaimedJob]) -> list[LeaseStatus]:
        """Renew the leases; return the status of each, in the order given."""
        ...

    async def progress(
        self, claimed: ClaimedJob, *, percent: float | None = None, message: str | None = None
    ) -> ClaimedJob:
        """Report progress in percent (0 to 100), with a message for people."""
        ...

    async def complete(self, claimed: ClaimedJob, outcome: Outcome) -> Job:
        """End the attempt with a verdict."""
        ...

    async def release(self, claimed: ClaimedJob, *, reason: str, began: bool = True) -> Job:
        """Release the job unfinished; that uses no attempt.

        ``began=False`` says that the handler certainly did not begin: the job returns unused, even
        one that may run at most once.
        """
        ...


class ExchangeQueue(WorkQueue, Protocol):
    """A queue that takes several reports, and a claim, in one call.

    The verb is optional: with a queue that lacks it, the agent makes a call for each report and
    each claim.
    """

    @property
    def exchange_from(self) -> int:
        """The number of reports from which a call for all costs less than one for each.

        1 across a network, and if the queue has no such attribute.
        """
        ...

    async def exchange(
        self, ends: Sequence[tuple[ClaimedJob, Outcome]], claim: ClaimRequest | None = None
    ) -> Exchanged:
        """End attempts, as by ``complete``, and claim, as by ``claim`` without a wait.

        A refused end changes nothing for the other ones or the claim, nor the other way round. The
        same call may be repeated. Raises ``UnsupportedCapability`` if the control plane is too old:
        then the agent makes single calls.
        """
        ...


class AgentRegistry(Protocol):
    """Registers agents, and takes their heartbeats."""

    async def register(self, spec: AgentSpec) -> Agent:
        """Start a new incarnation of this agent; the answer has its ``incarnation``."""
        ...

    async def heartbeat(
        self,
        agent_id: str,
        incarnation: str,
        *,
        metrics: AgentMetrics | None = None,
        running: int | None = None,
        fault: str | None = None,
        stuck: Sequence[StuckReport] = (),
    ) -> Agent:
        """Report that this incarnation is alive.

        ``fault`` says why its machine can't run any job, ``stuck`` lists the slots it can't free.

        Raises ``AgentReplaced`` if another incarnation took its place, ``OperationRejected`` if it
        was deregistered.
        """
        ...

    async def drain(self, agent_id: str, *, reason: str, actor: str, incarnation: str) -> Agent:
        """Announce that the agent claims nothing more and will end; ``actor`` is the agent itself.

        Raises ``AgentReplaced`` if another incarnation took its place; that one continues to work.
        """
        ...

    async def deregister(
        self, agent_id: str, *, reason: str, actor: str, incarnation: str
    ) -> Agent:
        """Announce that the agent has ended; ``actor`` is the agent itself.

        Raises ``AgentReplaced`` if another incarnation took its place; that one continues to work.
        """
        ...


class WorkSource(Protocol):
    """The whole interface that an agent needs: a queue and a registry."""

    @property
    def queue(self) -> WorkQueue:
        """The queue that gives jobs."""
        ...

    @property
    def agents(self) -> AgentRegistry:
        """The registry of agents."""
        ...

    def sibling(self) -> AbstractAsyncContextManager[WorkSource]:
        """Open a second connection to the same place, for the event loop of another thread."""
        ...


class LogSink(Protocol):
    """Where an agent sends its logs: ``RemoteControlPlane.job_logs``, or a ``JobLogService``."""

    async def append(
        self,
        claimed: ClaimedJob | ClaimRef,
        offset: int,
        data: bytes,
        *,
        complete: bool = False,
    ) -> LogState:
        """Append bytes to the attempt's log at an offset; ``complete`` marks the last ones.

        Bytes that the log already has are skipped. Raises ``LogOffsetMismatch`` with the end of the
        log if the bytes begin after it, and ``LeaseLost`` if no attempt has that token.
        """
        ...
