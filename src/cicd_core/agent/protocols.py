"""What the runtime needs of the other side: the control plane itself, or a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.job_logs.contract import LogState
    from cicd_core.model.agent import Agent, AgentMetrics, AgentSpec, StuckReport
    from cicd_core.model.claim import ClaimedJob, ClaimRef, LeaseStatus
    from cicd_core.model.job import Job
    from cicd_core.model.outcome import Outcome


class WorkQueue(Protocol):
    """Where jobs come from, and where their outcomes go.

    Every method raises ``StoreUnavailable`` (``retryable``) when the other side can't be reached;
    the same call may then be made again. Those that take a ``ClaimedJob`` raise ``LeaseLost`` when
    it does not own the job any more.
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

        With ``start`` they are RUNNING already. The same ``request_id`` again answers what the
        first call gave and what is still held, or takes new jobs where nothing is. Raises
        ``AgentUnavailable`` while the agent is unhealthy or goes, and holds nothing by that
        request.
        """
        ...

    async def held(
        self, *, agent_id: str, request_id: str, lease_seconds: float | None = None
    ) -> list[ClaimedJob]:
        """Return what a claim with this request id took and still holds; never take anything."""
        ...

    async def start(self, claimed: ClaimedJob) -> ClaimedJob:
        """Acknowledge the start; the handler runs only after this has returned."""
        ...

    async def renew(self, claims: Sequence[ClaimedJob]) -> list[LeaseStatus]:
        """Renew the leases, and answer for each what became of it, in the order given."""
        ...

    async def progress(
        self, claimed: ClaimedJob, *, percent: float | None = None, message: str | None = None
    ) -> ClaimedJob:
        """Tell how far the work is (0 to 100)."""
        ...

    async def complete(self, claimed: ClaimedJob, outcome: Outcome) -> Job:
        """End the attempt with a verdict."""
        ...

    async def release(self, claimed: ClaimedJob, *, reason: str, began: bool = True) -> Job:
        """Give the job back unfinished; it uses no attempt.

        With ``began=False`` its handler certainly did not begin: it goes back unused, also a job
        that may run at most once.
        """
        ...


class AgentRegistry(Protocol):
    """Where an agent says who it is and how it is."""

    async def register(self, spec: AgentSpec) -> Agent:
        """Begin a new incarnation of this agent; the answer carries it."""
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
        """Say that this incarnation lives.

        ``fault`` says why its machine can't run any job, ``stuck`` which slots it can't free.

        Raises ``AgentReplaced`` when another one took its place, ``OperationRejected`` when it has
        gone.
        """
        ...

    async def drain(self, agent_id: str, *, reason: str, actor: str, incarnation: str) -> Agent:
        """Say that it takes nothing new and will go; ``actor`` is the agent itself.

        Raises ``AgentReplaced`` when another incarnation took its place, which works on.
        """
        ...

    async def deregister(
        self, agent_id: str, *, reason: str, actor: str, incarnation: str
    ) -> Agent:
        """Say that it has gone; ``actor`` is the agent itself.

        Raises ``AgentReplaced`` when another incarnation took its place, which works on.
        """
        ...


class WorkSource(Protocol):
    """The other side, whole."""

    @property
    def queue(self) -> WorkQueue:
        """Where jobs come from."""
        ...

    @property
    def agents(self) -> AgentRegistry:
        """Where agents register."""
        ...

    def sibling(self) -> AbstractAsyncContextManager[WorkSource]:
        """Open a second way to the same place, for another thread's event loop."""
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
        """Append bytes to the attempt's log at their place; with ``complete`` nothing follows.

        What is there already is passed over. Raises ``LogOffsetMismatch`` with the end of the log
        when the bytes begin behind it, and ``LeaseLost`` when no attempt has that token.
        """
        ...
