"""A work source in memory, on real time, that fails on demand: what the runtime is tested against.

It keeps the promises of `cicd_core.agent.protocols` and no others, and may be used from several
event loops at once, as a control plane and its sibling are.
"""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, evolve, frozen

from cicd_core.clock import boot_micros
from cicd_core.errors import LeaseLost, StoreUnavailable
from cicd_core.model.agent import Agent, AgentStatus
from cicd_core.model.checks import check_text
from cicd_core.model.claim import ClaimedJob, LeaseStatus
from cicd_core.model.job import Delivery, Job, JobState, LeaseToken, Progress
from cicd_core.threads import RunSoon, run_soon_here
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Sequence

    from cicd_core.model.agent import AgentMetrics, AgentSpec, StuckReport
    from cicd_core.model.git import GitContext
    from cicd_core.model.outcome import Outcome

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@frozen
class Call:
    """One call of a method."""

    method: str
    facts: dict[str, Any]


@define
class Trouble:
    """What befalls the next calls of a method."""

    error: Exception | None
    #: How often; None: until it is mended.
    times: int | None
    #: The call takes effect, and its answer is lost.
    after: bool
    #: The answer does not come at all.
    hangs: bool


class FakeSource:
    """Queue, desk and source in one."""

    def __init__(self, *, lease_seconds: float = 30.0) -> None:
        self.lease_seconds = lease_seconds
        self.jobs: dict[str, Job] = {}
        self.calls: list[Call] = []
        self.outcomes: dict[str, Outcome] = {}
        self.releases: dict[str, str] = {}
        self.progress_told: list[Progress] = []
        self.agent_status = AgentStatus.HEALTHY
        self.drain_reason: str | None = None
        self.siblings_open = 0
        #: Whatever is claimed has another owner by the time that the answer arrives.
        self.expires_on_the_way = False
        #: What answers say is left of a lease; None: all of it.
        self.seconds_left: float | None = None
        self._queued: list[str] = []
        self._grants: dict[str, list[ClaimedJob]] = {}
        self._cancels: dict[str, str] = {}
        self.troubles: dict[str, Trouble] = {}
        self._observers: dict[str, Callable[[int], object]] = {}
        self._lock = threading.Lock()
        self._listeners: list[tuple[RunSoon, anyio.Event]] = []

    # what a test does

    def add(
        self,
        job_type: str = "work",
        *,
        payload: dict[str, Any] | None = None,
        timeout_seconds: float = 600.0,
        delivery: Delivery = Delivery.AT_LEAST_ONCE,
        git: GitContext | None = None,
        job_id: str | None = None,
    ) -> str:
        """Queue a job and return its id."""
        with self._lock:
            name = job_id or f"job-{len(self.jobs) + 1}"
            self.jobs[name] = Job(
                job_id=name,
                job_type=job_type,
                state=JobState.QUEUED,
                created_at=EPOCH,
                payload=payload or {},
                timeout_seconds=timeout_seconds,
                delivery=delivery,
                git=git,
            )
            self._queued.append(name)
        self._changed()
        return name

    def cancel(self, job_id: str, reason: str = "not needed any more") -> None:
        """Ask the holder of a job to stop."""
        self._cancels[job_id] = reason

    def take_away(self, job_id: str) -> None:
        """Give the job to somebody else."""
        with self._lock:
            job = self.jobs[job_id]
            self.jobs[job_id] = evolve(job, claim_id="somebody-else", fence=job.fence + 1)

    def trouble(
        self,
        method: str,
        error: Exception | None = None,
        *,
        times: int | None = 1,
        after: bool = False,
        hangs: bool = False,
    ) -> None:
        """Let the next calls of a method fail: unavailable, unless an error is given."""
        failure = error or StoreUnavailable("pulled the plug")
        self.troubles[method] = Trouble(failure, times, after, hangs)

    def on_call(self, method: str, see: Callable[[int], object]) -> None:
        """Let ``see`` be told, in the caller's thread, how often a method was called so far."""
        self._observers[method] = see

    def mend(self, method: str) -> None:
        """Let it answer again."""
        self.troubles.pop(method, None)

    def called(self, method: str) -> list[dict[str, Any]]:
        """The facts of every call of a method so far."""
        return [call.facts for call in list(self.calls) if call.method == method]

    async def until(self, come_true: Callable[[], object]) -> None:
        """Wait until something is so: looked at again after each call and each change."""
        with anyio.fail_after(PATIENCE):
            while True:
                changed = anyio.Event()
                with self._lock:
                    self._listeners.append((run_soon_here(), changed))
                if come_true():
                    return
                await changed.wait()

    # WorkSource

    @property
    def queue(self) -> FakeSource:
        return self

    @property
    def agents(self) -> FakeSource:
        return self

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[FakeSource]:
        async with self._called("sibling"):
            self.siblings_open += 1
        try:
            yield self
        finally:
            self.siblings_open -= 1

    # WorkQueue

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
        facts = {
            "agent_id": agent_id,
            "pool_name": pool_name,
            "labels": labels,
            "job_types": job_types,
            "limit": limit,
            "wait": wait,
            "start": start,
            "lease_seconds": lease_seconds,
            "request_id": request_id,
        }
        async with self._called("claim", **facts):
            until = anyio.current_time() + wait
            while True:
                changed = anyio.Event()
                with self._lock:
                    self._listeners.append((run_soon_here(), changed))
                    claims = self._taken(str(request_id), agent_id, job_types, limit, lease_seconds)
                if claims or anyio.current_time() >= until:
                    return claims
                with anyio.move_on_after(until - anyio.current_time()):
                    await changed.wait()

    async def held(
        self, *, agent_id: str, request_id: str, lease_seconds: float | None = None
    ) -> list[ClaimedJob]:
        async with self._called("held", agent_id=agent_id, request_id=request_id):
            with self._lock:
                return [each for each in self._grants.get(request_id, ()) if self._owns(each)]

    def _taken(
        self,
        request_id: str,
        agent_id: str,
        job_types: Collection[str] | None,
        limit: int,
        lease_seconds: float | None,
    ) -> list[ClaimedJob]:
        if request_id in self._grants:
            return [each for each in self._grants[request_id] if self._owns(each)]
        wanted = [
            name
            for name in self._queued
            if job_types is None or self.jobs[name].job_type in job_types
        ][:limit]
        if wanted:
            lasts = self.lease_seconds if lease_seconds is None else lease_seconds
            self._grants[request_id] = [
                self._grant(name, agent_id, request_id, lasts) for name in wanted
            ]
        return list(self._grants.get(request_id, []))

    def _grant(self, name: str, agent_id: str, request_id: str, lasts: float) -> ClaimedJob:
        self._queued.remove(name)
        job = self.jobs[name]
        job = self.jobs[name] = evolve(
            job,
            state=JobState.RUNNING,
            agent_id=agent_id,
            attempt=job.attempt + 1,
            fence=job.fence + 1,
            claim_id=request_id,
            started_at=EPOCH,
        )
        if self.expires_on_the_way:
            self.jobs[name] = evolve(job, claim_id="somebody-else", fence=job.fence + 1)
        return self._claimed(job, lasts)

    def _claimed(self, job: Job, lasts: float) -> ClaimedJob:
        token = LeaseToken(fence=job.fence, claim_id=str(job.claim_id))
        return ClaimedJob(
            job=job,
            token=token,
            version=1,
            lease_seconds=lasts,
            seconds_left=lasts if self.seconds_left is None else self.seconds_left,
            expires_at=EPOCH + timedelta(seconds=lasts),
        )

    def _owns(self, claimed: ClaimedJob) -> bool:
        job = self.jobs[claimed.job.job_id]
        return job.state is JobState.RUNNING and job.token == claimed.token

    def _require(self, claimed: ClaimedJob) -> None:
        if not self._owns(claimed):
            raise LeaseLost(claimed.job.job_id, claimed.token.fence, "it has another owner")

    async def start(self, claimed: ClaimedJob) -> ClaimedJob:
        raise AssertionError("a claim that starts at once needs no start")

    async def renew(self, claims: Sequence[ClaimedJob]) -> list[LeaseStatus]:
        async with self._called("renew", claims=list(claims), at=boot_micros()):
            return [self._status(each) for each in claims]

    def _status(self, claimed: ClaimedJob) -> LeaseStatus:
        reason = self._cancels.get(claimed.job.job_id)
        return LeaseStatus(
            held=self._owns(claimed),
            seconds_left=self.seconds_left,
            cancel_requested=reason is not None,
            cancel_reason=reason,
        )

    async def progress(
        self, claimed: ClaimedJob, *, percent: float | None = None, message: str | None = None
    ) -> ClaimedJob:
        async with self._called("progress", percent=percent, message=message):
            self._require(claimed)
            self.progress_told.append(Progress(at=EPOCH, percent=percent, message=message))
            reason = self._cancels.get(claimed.job.job_id)
            asked_at = None if reason is None else EPOCH
            return evolve(
                claimed,
                version=claimed.version + 1,
                job=evolve(claimed.job, cancel_requested_at=asked_at, cancel_reason=reason),
            )

    async def complete(self, claimed: ClaimedJob, outcome: Outcome) -> Job:
        job_id = claimed.job.job_id
        async with self._called("complete", job_id=job_id, outcome=outcome):
            if self.outcomes.get(job_id) == outcome:
                return self.jobs[job_id]
            self._require(claimed)
            self.outcomes[job_id] = outcome
            self.jobs[job_id] = evolve(self.jobs[job_id], state=JobState(outcome.verdict.value))
            return self.jobs[job_id]

    async def release(self, claimed: ClaimedJob, *, reason: str, began: bool = True) -> Job:
        job_id = claimed.job.job_id
        async with self._called("release", job_id=job_id, reason=reason, began=began):
            check_text("reason", reason)
            self._require(claimed)
            self.releases[job_id] = reason
            self.jobs[job_id] = evolve(self.jobs[job_id], state=JobState.QUEUED)
            return self.jobs[job_id]

    # AgentRegistry

    async def register(self, spec: AgentSpec) -> Agent:
        async with self._called("register", spec=spec):
            return self._agent(spec.agent_id)

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
        facts = {
            "incarnation": incarnation,
            "metrics": metrics,
            "running": running,
            "fault": fault,
            "stuck": list(stuck),
        }
        async with self._called("heartbeat", **facts):
            return self._agent(agent_id)

    async def drain(self, agent_id: str, *, reason: str, actor: str, incarnation: str) -> Agent:
        async with self._called("drain", reason=reason, incarnation=incarnation):
            self.agent_status = AgentStatus.TERMINATING
            return self._agent(agent_id)

    async def deregister(
        self, agent_id: str, *, reason: str, actor: str, incarnation: str
    ) -> Agent:
        async with self._called("deregister", reason=reason, incarnation=incarnation):
            self.agent_status = AgentStatus.TERMINATED
            return self._agent(agent_id)

    def _agent(self, agent_id: str) -> Agent:
        return Agent(
            agent_id=agent_id,
            pool_name="default",
            status=self.agent_status,
            incarnation=f"incarnation-{len(self.called('register'))}",
            created_at=EPOCH,
            registered_at=EPOCH,
            drain_reason=self.drain_reason,
        )

    # how calls are recorded, and fail

    @asynccontextmanager
    async def _called(self, method: str, **facts: Any) -> AsyncGenerator[None]:
        trouble = self._trouble_now(method)
        with self._lock:
            self.calls.append(Call(method, facts))
        if method in self._observers:
            self._observers[method](len(self.called(method)))
        self._changed()
        await anyio.lowlevel.checkpoint()
        if trouble is not None and not trouble.after:
            await self._befall(trouble)
        try:
            yield
        finally:
            self._changed()
        if trouble is not None and trouble.after:
            await self._befall(trouble)

    def _trouble_now(self, method: str) -> Trouble | None:
        trouble = self.troubles.get(method)
        if trouble is not None and trouble.times is not None:
            trouble.times -= 1
            if trouble.times <= 0:
                self.mend(method)
        return trouble

    async def _befall(self, trouble: Trouble) -> None:
        if trouble.hangs:
            await anyio.sleep_forever()
        if trouble.error is not None:
            raise trouble.error

    def _changed(self) -> None:
        with self._lock:
            listeners, self._listeners = self._listeners, []
        for run_soon, event in listeners:
            run_soon(event.set)
