"""The queue: work goes in, is claimed under a lease, and comes out with a verdict."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from attrs import evolve

from cicd_core.control_plane.claiming import Claimer, ClaimRequest, handle_of, seconds_left
from cicd_core.control_plane.lease_terms import lease_of_start
from cicd_core.control_plane.statistics import read_stats
from cicd_core.errors import InvalidInput, LeaseLost, NotFound
from cicd_core.lifecycle import leases
from cicd_core.model.checks import MAX_REASON, check_kind, check_name, kept_text
from cicd_core.model.claim import ClaimedJob, ClaimRef, LeaseStatus
from cicd_core.model.instants import from_micros, require_aware
from cicd_core.model.job import Job, LeaseToken, Progress
from cicd_core.model.outcome import Outcome
from cicd_core.persistence.collections import JOBS
from cicd_core.persistence.grants import Loaded
from cicd_core.persistence.mappings import micros
from cicd_core.store.records import Renewal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.enqueueing import JobFactory
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.spec import JobSpec
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository
    from cicd_core.queueing.stats import QueueStats
    from cicd_core.store.records import Lease, Renewed, StoreTime

_log = logging.getLogger("cicd_core.queue")

#: The most jobs in one claim, and the longest that a claim waits for the first one, in seconds.
MAX_CLAIM = 256
MAX_WAIT = 3600.0
#: How long a claim that was cancelled may take to give back what it got, in seconds.
_GIVE_BACK_SECONDS = 5.0


class QueueService:
    """Enqueue, claim, start, renew, complete, release. Satisfies the runtime's ``WorkQueue``."""

    def __init__(
        self,
        context: Context,
        repository: Repository[Job],
        lanes: LaneBook,
        maker: JobFactory,
        agents: AgentService,
    ) -> None:
        """Take the way to the store, the jobs' records, the lanes, what makes jobs, the agents."""
        self._context = context
        self._repository = repository
        self._lanes = lanes
        self._maker = maker
        self._claimer = Claimer(context, repository, lanes, agents)

    async def enqueue(self, spec: JobSpec, *, by: str = "caller") -> Job:
        """Create a job and put it into the queue, in one commit.

        With an idempotency key the same spec again returns the job of the first call.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            IdempotencyConflict: the key was used with other fields.
            TooManyLanes: the pool has no room for another combination of job type and labels.
        """
        (job,) = await self._maker.make([spec], by=by, enqueue=True)
        return job

    async def enqueue_many(self, specs: Sequence[JobSpec], *, by: str = "caller") -> list[Job]:
        """Enqueue many jobs, 500 a call to the store; each is created whole or not at all.

        Raises:
            InvalidInput: a field of any spec is wrong; no job was made.
            IdempotencyConflict: a key was used with other fields; the other jobs may exist.
        """
        return await self._maker.make(specs, by=by, enqueue=True)

    async def claim(
        self,
        *,
        agent_id: str,
        pool_name: str = "default",
        labels: Collection[str] = (),
        job_types: Collection[str] | None = None,
        limit: int = 1,
        wait: float = 0.0,
        starting: bool = False,
        lease_seconds: float | None = None,
        request_id: str | None = None,
    ) -> list[ClaimedJob]:
        """Take up to ``limit`` jobs, the best rank over all lanes that the agent can serve first.

        Args:
            agent_id: who takes them.
            pool_name: the agent's pool.
            labels: all that the agent has; a job's required labels are among them.
            job_types: what it has handlers for; None takes every type.
            limit: the most jobs, 1 to 256.
            wait: how many seconds to wait for the first one, at most 3,600.
            starting: the jobs are RUNNING at once, which saves the call to ``start``.
            lease_seconds: how long the lease lasts without a renewal; the settings' when left out.
            request_id: makes a repetition safe: the same id of the same agent answers what the
                first call gave and is still held. Without one, a call that fails or is cancelled
                gives back what it got; with one it does not: :meth:`held` tells what that was.
                A repetition that finds nothing held takes new jobs, so choose a new id for each
                claim, and don't repeat one whose answer you have.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AgentUnavailable: the agent is unhealthy, drains or has gone, and holds nothing by that
                request id; one that never registered is not judged.
        """
        return await self._claimer.claim(
            ClaimRequest(
                agent_id=agent_id,
                pool_name=pool_name,
                labels=labels,
                job_types=job_types,
                limit=limit,
                wait=wait,
                starting=starting,
                lease_seconds=lease_seconds,
                request_id=request_id,
            )
        )

    async def held(
        self, *, agent_id: str, request_id: str, lease_seconds: float | None = None
    ) -> list[ClaimedJob]:
        """Return what a claim with this request id took, and what its leases still hold.

        Unlike a repeated claim it never takes anything, and answers agents that take no work too:
        ask it before you give back what a claim without an answer may have got.

        Args:
            agent_id: who claimed.
            request_id: the claim's.
            lease_seconds: the claim's: how long each renewal lasts.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        return await self._claimer.held(agent_id, request_id, lease_seconds)

    async def start(self, claimed: ClaimedJob | ClaimRef) -> ClaimedJob:
        """CLAIMED -> RUNNING; the handler runs only after this has returned.

        Raises:
            LeaseLost: the token does not own the job; or its ``deadline_at`` has come, so that it
                has ended in TIMEOUT.
        """
        token = _token(claimed)
        settings = self._context.settings
        seconds = (
            claimed.lease_seconds if isinstance(claimed, ClaimedJob) else settings.lease_seconds
        )

        def lease(loaded: Loaded[Job], time: StoreTime) -> Lease | None:
            if loaded.lease is None:
                return None
            job, now = loaded.value, time.micros
            return lease_of_start(loaded.lease, job, settings, seconds=seconds, now=now)

        loaded = await self._change(
            claimed, lambda job, now: leases.start(job, token, now=now), lease
        )
        return handle_of(loaded, seconds, await self._context.store.now(), token)

    async def renew(self, claims: Sequence[ClaimedJob | ClaimRef]) -> list[LeaseStatus]:
        """Renew the leases, in one call for all of them; the answers come in the order given.

        Each says how many seconds its lease is sure to hold from before this call on: never more
        than the store granted, nor past the lease's limit.
        """
        if not isinstance(claims, Iterable) or isinstance(claims, str | bytes | Mapping):
            raise InvalidInput("claims", claims, "give a list of what was claimed")
        claims = tuple(claims)
        renewals = [
            Renewal(
                collection=JOBS.name,
                claim_id=_token(each, f"claims[{position}]").claim_id,
                key=_job_id(each),
                duration=micros(
                    each.lease_seconds
                    if isinstance(each, ClaimedJob)
                    else self._context.settings.lease_seconds
                ),
            )
            for position, each in enumerate(claims)
        ]
        answers = await self._context.store.renew(renewals)
        # Somebody wrote to these since the holder did: to ask for a cancel, perhaps.
        moved = [
            _job_id(each)
            for each, answer in zip(claims, answers, strict=True)
            if answer is not None
            and not (isinstance(each, ClaimedJob) and each.version == answer.version)
        ]
        # One that does not decode is held all the same: its holder may still end it.
        now_told = await self._repository.get_readable(moved)
        time = await self._context.store.now()
        return [
            _lease_status(each, answer, now_told.get(_job_id(each)), time)
            for each, answer in zip(claims, answers, strict=True)
        ]

    async def progress(
        self,
        claimed: ClaimedJob | ClaimRef,
        *,
        percent: float | None = None,
        message: str | None = None,
    ) -> ClaimedJob:
        """Keep how far the work is (0 to 100), and tell it in the log.

        Raises:
            LeaseLost: the token does not own the job.
            InvalidInput: a percentage outside 0 to 100.
        """
        token = _token(claimed)

        def decide(job: Job, now: datetime) -> Decision[Job]:
            told = Progress(at=now, percent=percent, message=message)
            return leases.report_progress(job, token, told, now=now)

        loaded = await self._change(claimed, decide)
        seconds = (
            claimed.lease_seconds
            if isinstance(claimed, ClaimedJob)
            else self._context.settings.lease_seconds
        )
        return handle_of(loaded, seconds, await self._context.store.now(), token)

    async def complete(self, claimed: ClaimedJob | ClaimRef, outcome: Outcome) -> Job:
        """End the attempt: a verdict that the job's policy retries leads to another attempt.

        The same outcome again is a no-op.

        Raises:
            LeaseLost: the token does not own the job.
            IllegalTransition: it was never started, or no cancel was requested.
        """
        check_kind("outcome", outcome, Outcome)
        token, steady = _token(claimed), (await self._context.store.now()).micros
        loaded = await self._change(
            claimed, lambda job, now: leases.complete(job, token, outcome, now=now, steady=steady)
        )
        return loaded.value

    async def release(
        self, claimed: ClaimedJob | ClaimRef, *, why: str = "released", began: bool = True
    ) -> Job:
        """Give the job back unfinished; it uses no attempt, but every tenth in a row does.

        An at-most-once job that has begun ends in ERROR, since it may not begin again.

        Args:
            claimed: what the claim gave.
            why: the reason, for people.
            began: whether its handler may have begun. Say False where you know that it did not: a
                job that was claimed ``starting`` then goes back unused, also at most once.

        Raises:
            LeaseLost: the token does not own the job.
        """
        token, steady = _token(claimed), (await self._context.store.now()).micros
        check_kind("began", began, bool)
        reason = kept_text("why", why, most=MAX_REASON, empty="released")
        loaded = await self._change(
            claimed,
            lambda job, now: leases.release(
                job, token, now=now, why=reason, began=began, steady=steady
            ),
        )
        return loaded.value

    async def stats(
        self, pool_name: str | None = None, *, since: datetime | None = None
    ) -> QueueStats:
        """Return depths, waits, executions, the failure rate and the oldest age.

        It costs the same at a thousand jobs and at a million.

        Args:
            pool_name: one pool; None: all of them.
            since: the beginning of what is measured, at most 92 days ago; 24 hours ago when left
                out.

        Raises:
            InvalidInput: ``pool_name`` is no name, or ``since`` is naive, lies in the future or
                more than 92 days ago.
        """
        if pool_name is not None:
            check_name("pool_name", pool_name)
        begin = require_aware("since", since)
        return await read_stats(self._context, self._lanes, pool_name, begin)

    async def _change(
        self,
        claimed: ClaimedJob | ClaimRef,
        decide: Callable[[Job, datetime], Decision[Job]],
        lease: Callable[[Loaded[Job], StoreTime], Lease | None] | None = None,
    ) -> Loaded[Job]:
        """Decide from the handle without a load; what has gone is a lost lease to its holder."""
        before = _basis(claimed)
        job_id = _job_id(claimed)
        try:
            return await self._repository.change(job_id, decide, before=before, lease=lease)
        except NotFound as gone:
            raise LeaseLost(job_id, claimed.token.fence, "the job is gone") from gone


def _token(claimed: ClaimedJob | ClaimRef, field: str = "claimed") -> LeaseToken:
    """Return the token that is presented.

    Raises:
        InvalidInput: there is none.
    """
    check_kind(field, claimed, ClaimedJob, ClaimRef)
    check_kind(f"{field}.token", claimed.token, LeaseToken)
    check_name(f"{field}.job_id", _job_id(claimed))
    return claimed.token


def _basis(claimed: ClaimedJob | ClaimRef) -> Loaded[Job] | None:
    """Return what this control plane, or another one on the same store, knew at the claim."""
    basis = claimed.basis if isinstance(claimed, ClaimedJob) else None
    return cast("Loaded[Job]", basis) if isinstance(basis, Loaded) else None


def _job_id(claimed: ClaimedJob | ClaimRef) -> str:
    return claimed.job.job_id if isinstance(claimed, ClaimedJob) else claimed.job_id


def _lease_status(
    claimed: ClaimedJob | ClaimRef,
    answer: Renewed | None,
    told: Loaded[Job] | None,
    time: StoreTime,
) -> LeaseStatus:
    if answer is None:
        return LeaseStatus(held=False)
    held = LeaseStatus(
        held=True,
        expires_at=from_micros(time.calendar_of(answer.expires)),
        seconds_left=seconds_left(answer.expires, answer.limit, time),
        at_limit=answer.expires >= answer.limit,
    )
    if told is None:
        return held
    if told.lease is None or told.value.token != claimed.token:
        return LeaseStatus(held=False)
    return evolve(
        held,
        cancel_requested=told.value.cancel_requested_at is not None,
        cancel_reason=told.value.cancel_reason,
    )
