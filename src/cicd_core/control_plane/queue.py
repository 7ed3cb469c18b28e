"""The queue: callers enqueue jobs, agents claim them with a lease and report verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from cicd_core.background import together
from cicd_core.control_plane.claiming import Claimer, handle_of
from cicd_core.control_plane.holder_changes import (
    change_of,
    completion_of,
    completions_of,
    end_each,
    lost_with,
)
from cicd_core.control_plane.lease_owners import LeaseOwners
from cicd_core.control_plane.lease_terms import lease_of_start
from cicd_core.control_plane.ready_jobs import ReadyJobs, read_ready
from cicd_core.control_plane.shown_claims import job_id_of, lease_status, token_of
from cicd_core.control_plane.statistics import read_stats
from cicd_core.errors import CicdError, InvalidInput, NotFound
from cicd_core.lifecycle import leases
from cicd_core.model.checks import (
    MAX_REASON,
    check_kind,
    check_name,
    check_seconds,
    kept_text,
)
from cicd_core.model.claim import (
    ClaimedJob,
    ClaimRef,
    ClaimRequest,
    Exchanged,
)
from cicd_core.model.instants import micros, require_aware
from cicd_core.model.job import Job, Progress
from cicd_core.persistence.collections import JOBS
from cicd_core.store.records import Renewal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.enqueueing import JobFactory
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.claim import LeaseStatus
    from cicd_core.model.outcome import Outcome
    from cicd_core.model.spec import JobSpec
    from cicd_core.persistence.change_lists import Change
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.queueing.stats import QueueStats
    from cicd_core.store.records import Lease, StoreTime


class QueueService:
    """Enqueue, claim, start, renew, complete, release: the runtime's ``ExchangeQueue``."""

    #: One end costs less as a call of its own: the store merges calls of one moment anyway.
    exchange_from: Final = 2

    def __init__(
        self,
        context: Context,
        repository: Repository[Job],
        lanes: LaneBook,
        maker: JobFactory,
        agents: AgentService,
    ) -> None:
        self._context = context
        self._repository = repository
        self._lanes = lanes
        self._maker = maker
        self._claimer = Claimer(context, repository, lanes, agents)
        self._owners = LeaseOwners(repository)

    async def enqueue(self, spec: JobSpec, *, actor: str = "caller") -> Job:
        """Create a job and put it into the queue, in one commit.

        With an idempotency key, the same spec returns the job of the first call.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            IdempotencyConflict: the key was used with other fields.
            TooManyLanes: the pool has no room for another combination of job type and labels.
        """
        (job,) = await self._maker.make([spec], actor=actor, enqueue=True)
        return job

    async def enqueue_many(self, specs: Sequence[JobSpec], *, actor: str = "caller") -> list[Job]:
        """Enqueue many jobs, 500 per call to the store; each is created entirely or not at all.

        Raises:
            InvalidInput: a field of any spec is wrong; no job was created.
            IdempotencyConflict: a key was used with other fields; the other jobs may exist.
        """
        return await self._maker.make(specs, actor=actor, enqueue=True)

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
        """Claim up to ``limit`` jobs, the best rank over all lanes that the agent can serve first.

        Args:
            agent_id: the agent.
            pool_name: the agent's pool.
            labels: all labels of the agent; they include a job's required labels.
            job_types: the types that it has handlers for; None: every type.
            limit: maximum number of jobs, 1 to 256.
            wait: maximum wait for the first job, in seconds, at most 3,600.
            start: make the jobs RUNNING at once, which saves the call to ``start``.
            lease_seconds: length of the lease without a renewal. Default: that of the settings.
            request_id: makes a repetition safe: the same id of the same agent returns the jobs of
                the first call that are still held. Without one, a call that fails or is cancelled
                releases its jobs; with one it does not: :meth:`held` returns them.
                A repetition that holds no job claims new ones, so choose a new id for each
                claim, and don't repeat one whose answer you have.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AgentUnavailable: the agent is unhealthy or drains, and holds nothing by that request
                id; an agent that never registered is not checked.
            AgentDeregistered: it is deregistered, and holds nothing by that request id.
        """
        return await self._claimer.claim(
            agent_id=agent_id,
            pool_name=pool_name,
            labels=labels,
            job_types=job_types,
            limit=limit,
            wait=wait,
            start=start,
            lease_seconds=lease_seconds,
            request_id=request_id,
        )

    async def held(
        self, *, agent_id: str, request_id: str, lease_seconds: float | None = None
    ) -> list[ClaimedJob]:
        """Return the jobs that a claim with this request id took and still holds.

        Unlike a repeated claim it never claims anything, and also answers agents that take no
        work: use it before you release the jobs of a claim without an answer.

        Args:
            agent_id: the agent that claimed.
            request_id: that of the claim.
            lease_seconds: that of the claim: the length of a renewal.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        return await self._claimer.held(agent_id, request_id, lease_seconds)

    async def start(self, claimed: ClaimedJob | ClaimRef) -> ClaimedJob:
        """CLAIMED -> RUNNING; the handler runs only after this has returned.

        Raises:
            LeaseLost: the token does not own the job; or its ``deadline_at`` has passed, so it
                has ended in TIMEOUT.
        """
        token = token_of(claimed)
        settings, seconds = self._context.settings, self._lease_seconds(claimed)

        def lease(loaded: Loaded[Job], time: StoreTime) -> Lease | None:
            if loaded.lease is None:
                return None
            job, now = loaded.value, time.micros
            return lease_of_start(loaded.lease, job, settings, seconds=seconds, now=now)

        loaded = await self._change(
            claimed, lambda job, now, _: leases.start(job, token, now=now), lease
        )
        return handle_of(loaded, seconds, await self._context.store.now(), token)

    async def renew(self, claims: Sequence[ClaimedJob | ClaimRef]) -> list[LeaseStatus]:
        """Renew the leases, in one call for all of them; the answers come in the order given.

        Each has the seconds that its lease is certain to last from before this call: never more
        than the store granted, nor past the lease's limit.

        Raises:
            InvalidInput: one of them is not a claim, or a field of it is wrong.
            NotPermitted: a reference has the lease of another agent; none was renewed.
        """
        if not isinstance(claims, Iterable) or isinstance(claims, str | bytes | Mapping):
            raise InvalidInput("claims", claims, "give a list of claimed jobs")
        claims = tuple(claims)
        renewals = [
            Renewal(
                collection=JOBS.name,
                claim_id=token_of(claim, f"claims[{position}]").claim_id,
                key=job_id_of(claim),
                duration=micros(self._lease_seconds(claim, f"claims[{position}]")),
            )
            for position, claim in enumerate(claims)
        ]
        await self._owners.require(claims)
        answers = await self._context.store.renew(renewals)
        # Another writer changed these after the holder: perhaps to request a cancel.
        moved = [
            job_id_of(item)
            for item, answer in zip(claims, answers, strict=True)
            if answer is not None and item.version != answer.version
        ]
        # A job that does not decode is held too: its holder may still end it.
        changed = await self._repository.get_readable(moved)
        time = await self._context.store.now()
        return [
            lease_status(claim, answer, changed.get(job_id_of(claim)), time)
            for claim, answer in zip(claims, answers, strict=True)
        ]

    async def progress(
        self,
        claimed: ClaimedJob | ClaimRef,
        *,
        percent: float | None = None,
        message: str | None = None,
    ) -> ClaimedJob:
        """Store the progress of the job (0 to 100), and add it to the event log.

        Raises:
            LeaseLost: the token does not own the job.
            InvalidInput: a percentage outside 0 to 100.
        """
        token = token_of(claimed)

        def decide(job: Job, now: datetime, _: int) -> Decision[Job]:
            report = Progress(at=now, percent=percent, message=message)
            return leases.report_progress(job, token, report, now=now)

        loaded = await self._change(claimed, decide)
        seconds = self._lease_seconds(claimed)
        return handle_of(loaded, seconds, await self._context.store.now(), token)

    async def complete(self, claimed: ClaimedJob | ClaimRef, outcome: Outcome) -> Job:
        """End the attempt: a verdict that the job's policy retries leads to another attempt.

        Repeating the same outcome is a no-op.

        Raises:
            LeaseLost: the token does not own the job.
            IllegalTransition: it was never started, or no cancel was requested.
        """
        return (await self._made(claimed, completion_of(claimed, outcome))).value

    async def exchange(
        self,
        ends: Sequence[tuple[ClaimedJob | ClaimRef, Outcome]],
        claim: ClaimRequest | None = None,
    ) -> Exchanged:
        """End several attempts and claim new jobs in one call; neither depends on the other.

        The ends are as by :meth:`complete`, in one list of commits, the claim as by :meth:`claim`
        without a wait. A call whose claim has a ``request_id`` may be repeated.

        Args:
            ends: up to 256 claims with their outcomes.
            claim: what to claim at the same time; None: nothing.

        Returns:
            An error for each end that was refused, the claimed jobs, and the error of the claim.

        Raises:
            InvalidInput: an end is not a claim with an outcome; nothing was done.
            StoreError: the store failed; whether the ends took effect is unknown.
        """
        completions = completions_of(ends)
        if claim is not None:
            check_kind("claim", claim, ClaimRequest)
        errors: list[CicdError | None] = []
        claims: list[ClaimedJob] = []
        claim_error: CicdError | None = None

        async def end() -> None:
            errors.extend(await end_each(self._context, self._repository, completions))

        async def take() -> None:
            nonlocal claim_error
            try:
                claims.extend([] if claim is None else await self.claim(**claim.arguments()))
            except CicdError as refused:
                claim_error = refused

        await together([end, take])
        return Exchanged(errors=tuple(errors), claims=tuple(claims), claim_error=claim_error)

    async def release(
        self, claimed: ClaimedJob | ClaimRef, *, reason: str = "released", began: bool = True
    ) -> Job:
        """Release the job unfinished; this uses no attempt, but every tenth in a row does.

        An at-most-once job that has started ends in ERROR, since it may not start again.

        Args:
            claimed: the result of the claim.
            reason: the reason, for people.
            began: whether its handler may have started. Pass False if you know that it did not: a
                job claimed with ``start`` then returns unused, even an at-most-once job.

        Raises:
            LeaseLost: the token does not own the job.
        """
        token = token_of(claimed)
        check_kind("began", began, bool)
        reason = kept_text("reason", reason, most=MAX_REASON, empty="released")
        loaded = await self._change(
            claimed,
            lambda job, now, steady: leases.release(
                job, token, now=now, reason=reason, began=began, steady=steady
            ),
        )
        return loaded.value

    async def stats(
        self, pool_name: str | None = None, *, since: datetime | None = None
    ) -> QueueStats:
        """Return depths, waits, executions, the failure rate and the oldest age.

        The cost is independent of the number of jobs. Over all pools it grows with the days since
        ``since``, and with the pools that had work on them.

        Args:
            pool_name: a pool; None: all pools.
            since: the start of the period, at most 92 days ago; 24 hours ago by
                default.

        Raises:
            InvalidInput: ``pool_name`` is not a name, or ``since`` is naive, in the future or
                more than 92 days ago.
        """
        if pool_name is not None:
            check_name("pool_name", pool_name)
        begin = require_aware("since", since)
        return await read_stats(self._context, self._lanes, pool_name, begin)

    async def ready(self, pool_name: str = "default", *, limit: int = 50) -> ReadyJobs:
        """Return the jobs of a pool that are claimed next: by priority, then by age.

        Args:
            pool_name: the pool.
            limit: 1 to 500.

        Raises:
            InvalidInput: an argument is wrong.
        """
        return await read_ready(self._context, self._lanes, pool_name, limit)

    def _lease_seconds(self, claimed: ClaimedJob | ClaimRef, field: str = "claimed") -> float:
        """Return the length of a renewal, as requested by the claim.

        Raises:
            InvalidInput: a reference has a length that no claim can have.
        """
        if isinstance(claimed, ClaimedJob):
            return claimed.lease_seconds
        if claimed.lease_seconds is None:
            return self._context.settings.lease_seconds
        longest = self._context.settings.max_lease_seconds
        name = f"{field}.lease_seconds"
        return check_seconds(name, claimed.lease_seconds, least=1.0, most=longest)

    async def _change(
        self,
        claimed: ClaimedJob | ClaimRef,
        decide: Callable[[Job, datetime, int], Decision[Job]],
        lease: Callable[[Loaded[Job], StoreTime], Lease | None] | None = None,
    ) -> Loaded[Job]:
        """Decide from the handle without a read; a missing job is a lost lease to its holder."""
        return await self._made(claimed, change_of(claimed, decide), lease)

    async def _made(
        self,
        claimed: ClaimedJob | ClaimRef,
        change: Change[Job],
        lease: Callable[[Loaded[Job], StoreTime], Lease | None] | None = None,
    ) -> Loaded[Job]:
        try:
            return await self._repository.change(
                change.key, change.decide, before=change.before, lease=lease
            )
        except NotFound as gone:
            raise lost_with(claimed) from gone
