"""QueueService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.queue import QueueService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from cicd_core.control_plane.ready_jobs import ReadyJobs
    from cicd_core.model.claim import ClaimedJob, ClaimRef, ClaimRequest, Exchanged, LeaseStatus
    from cicd_core.model.job import Job
    from cicd_core.model.outcome import Outcome
    from cicd_core.model.spec import JobSpec
    from cicd_core.queueing.stats import QueueStats


class QueueService(Facade[Service]):
    """Enqueue, claim, start, renew, complete, release: the runtime's ``ExchangeQueue``."""

    def enqueue(self, spec: JobSpec, *, actor: str = "caller") -> Job:
        """Create a job and put it into the queue, in one commit.

        With an idempotency key, the same spec returns the job of the first call.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            IdempotencyConflict: the key was used with other fields.
            TooManyLanes: the pool has no room for another combination of job type and labels.
        """
        return self._call(partial(self._service.enqueue, spec, actor=actor))

    def enqueue_many(self, specs: Sequence[JobSpec], *, actor: str = "caller") -> list[Job]:
        """Enqueue many jobs, 500 per call to the store; each is created entirely or not at all.

        Raises:
            InvalidInput: a field of any spec is wrong; no job was created.
            IdempotencyConflict: a key was used with other fields; the other jobs may exist.
        """
        return self._call(partial(self._service.enqueue_many, specs, actor=actor))

    def claim(
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
        return self._call(
            partial(
                self._service.claim,
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
        )

    def held(
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
        return self._call(
            partial(
                self._service.held,
                agent_id=agent_id,
                request_id=request_id,
                lease_seconds=lease_seconds,
            )
        )

    def start(self, claimed: ClaimedJob | ClaimRef) -> ClaimedJob:
        """CLAIMED -> RUNNING; the handler runs only after this has returned.

        Raises:
            LeaseLost: the token does not own the job; or its ``deadline_at`` has passed, so it
                has ended in TIMEOUT.
        """
        return self._call(partial(self._service.start, claimed))

    def renew(self, claims: Sequence[ClaimedJob | ClaimRef]) -> list[LeaseStatus]:
        """Renew the leases, in one call for all of them; the answers come in the order given.

        Each has the seconds that its lease is certain to last from before this call: never more
        than the store granted, nor past the lease's limit.

        Raises:
            InvalidInput: one of them is not a claim, or a field of it is wrong.
            NotPermitted: a reference has the lease of another agent; none was renewed.
        """
        return self._call(partial(self._service.renew, claims))

    def progress(
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
        return self._call(
            partial(self._service.progress, claimed, percent=percent, message=message)
        )

    def complete(self, claimed: ClaimedJob | ClaimRef, outcome: Outcome) -> Job:
        """End the attempt: a verdict that the job's policy retries leads to another attempt.

        Repeating the same outcome is a no-op.

        Raises:
            LeaseLost: the token does not own the job.
            IllegalTransition: it was never started, or no cancel was requested.
        """
        return self._call(partial(self._service.complete, claimed, outcome))

    def exchange(
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
        return self._call(partial(self._service.exchange, ends, claim))

    def release(
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
        return self._call(partial(self._service.release, claimed, reason=reason, began=began))

    def stats(self, pool_name: str | None = None, *, since: datetime | None = None) -> QueueStats:
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
        return self._call(partial(self._service.stats, pool_name, since=since))

    def ready(self, pool_name: str = "default", *, limit: int = 50) -> ReadyJobs:
        """Return the jobs of a pool that are claimed next: by priority, then by age.

        Args:
            pool_name: the pool.
            limit: 1 to 500.

        Raises:
            InvalidInput: an argument is wrong.
        """
        return self._call(partial(self._service.ready, pool_name, limit=limit))
