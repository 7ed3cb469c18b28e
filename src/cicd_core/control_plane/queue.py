"""The queue: work goes in, is claimed under a lease, and comes out with a verdict."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, cast

import anyio
from attrs import evolve

from cicd_core.control_plane.kinds import micros
from cicd_core.control_plane.statistics import read_stats
from cicd_core.errors import CicdError, InvalidInput, LeaseLost, NotFound
from cicd_core.lifecycle import leases
from cicd_core.model.checks import check_integer, check_name, check_names, check_seconds, check_text
from cicd_core.model.claim import Claimed, JobToken, LeaseStatus
from cicd_core.model.instants import from_micros, require_aware, to_micros
from cicd_core.model.job import Job, Progress
from cicd_core.store.collections import JOBS, READY
from cicd_core.store.overlay import Grant, Loaded, load_job
from cicd_core.store.records import Claim, Renewal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from cicd_core.control_plane.enqueueing import JobMaker
    from cicd_core.control_plane.lanes import LaneBook, ServedLanes
    from cicd_core.control_plane.repository import Repository
    from cicd_core.control_plane.writer import Writer
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.job import Token
    from cicd_core.model.outcome import Outcome
    from cicd_core.model.spec import JobSpec
    from cicd_core.queueing.stats import QueueStats
    from cicd_core.store.records import Lease, Record, Renewed

_log = logging.getLogger("cicd_core.queue")

#: The most jobs in one claim, and the longest that a claim waits for the first one, in seconds.
MAX_CLAIM = 256
MAX_WAIT = 3600.0
#: How long a claim that was cancelled may take to give back what it got, in seconds.
_GIVE_BACK_SECONDS = 5.0


class QueueService:
    """Enqueue, claim, start, renew, complete, release. Satisfies the runtime's ``WorkQueue``."""

    def __init__(
        self, writer: Writer, repository: Repository[Job], lanes: LaneBook, maker: JobMaker
    ) -> None:
        """Take the way to the store, the jobs' records, the lanes and what makes jobs."""
        self._writer = writer
        self._repository = repository
        self._lanes = lanes
        self._maker = maker

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
    ) -> list[Claimed]:
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
                first call gave and is still held. Without one, a call that is cancelled gives
                back what it got; with one it does not, so repeat it to learn what that was.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        seconds = self._lease_seconds(lease_seconds)
        check_name("agent_id", agent_id)
        check_name("pool_name", pool_name)
        check_integer("limit", limit, least=1, most=MAX_CLAIM)
        check_seconds("wait", wait, most=MAX_WAIT)
        has = frozenset(check_names("labels", labels))
        types = None if job_types is None else frozenset(check_names("job_types", job_types))
        grant = Grant(agent_id=agent_id, starting=starting)
        start_timeout = None if starting else micros(self._writer.settings.start_timeout_seconds)
        claim = Claim(
            claim_id=self._claim_id(agent_id, request_id),
            collection=JOBS.name,
            index=READY,
            partitions=(),
            limit=limit,
            grant=grant.encode(),
            duration=micros(seconds),
            lease_limit=start_timeout,
            patch=grant.patch(pool_name),
        )
        until = anyio.current_time() + wait
        served = await self._lanes.serving(pool_name, has, types)
        while True:
            claimed = await self._take(
                evolve(claim, partitions=served.keys), seconds, repeatable=request_id is not None
            )
            if claimed:
                return claimed
            # Nothing in the lanes that were known: there may be new ones, which cost a look now.
            known, served = served, await self._lanes.serving(pool_name, has, types, anew=True)
            if served.keys == known.keys and not await self._more_may_come(served, until):
                return claimed

    async def start(self, claimed: Claimed | JobToken) -> Claimed:
        """CLAIMED -> RUNNING; the handler runs only after this has returned.

        Raises:
            LeaseLost: the token does not own the job.
        """
        settings = self._writer.settings
        seconds = claimed.lease_seconds if isinstance(claimed, Claimed) else settings.lease_seconds

        def lease(loaded: Loaded[Job], now: datetime) -> Lease | None:
            if loaded.lease is None:
                return None
            longest = loaded.value.timeout_seconds + settings.grace_seconds
            instant = to_micros(now)
            return evolve(
                loaded.lease,
                expires=max(loaded.lease.expires, instant + micros(seconds)),
                limit=instant + micros(longest),
            )

        token = claimed.token
        loaded = await self._change(
            claimed, lambda job, now: leases.start(job, token, now=now), lease
        )
        return _claimed(loaded, seconds)

    async def renew(self, claims: Sequence[Claimed | JobToken]) -> list[LeaseStatus]:
        """Renew the leases, in one call for all of them; the answers come in the order given."""
        renewals = [
            Renewal(
                collection=JOBS.name,
                key=_job_id(each),
                claim_id=each.token.claim_id,
                duration=micros(
                    each.lease_seconds
                    if isinstance(each, Claimed)
                    else self._writer.settings.lease_seconds
                ),
            )
            for each in claims
        ]
        answers = await self._writer.patiently(lambda: self._writer.store.renew(renewals))
        # Somebody wrote to these since the holder did: to ask for a cancel, perhaps.
        moved = [
            _job_id(each)
            for each, answer in zip(claims, answers, strict=True)
            if answer is not None
            and not (isinstance(each, Claimed) and each.version == answer.version)
        ]
        now_told = await self._repository.get_many(moved)
        return [
            _lease_status(each, answer, now_told.get(_job_id(each)))
            for each, answer in zip(claims, answers, strict=True)
        ]

    async def progress(
        self,
        claimed: Claimed | JobToken,
        *,
        percent: float | None = None,
        message: str | None = None,
    ) -> Claimed:
        """Keep how far the work is (0 to 100), and tell it in the log.

        Raises:
            LeaseLost: the token does not own the job.
            InvalidInput: a percentage outside 0 to 100.
        """
        token = claimed.token

        def decide(job: Job, now: datetime) -> Decision[Job]:
            told = Progress(at=now, percent=percent, message=message)
            return leases.report_progress(job, token, told, now=now)

        loaded = await self._change(claimed, decide)
        seconds = (
            claimed.lease_seconds
            if isinstance(claimed, Claimed)
            else self._writer.settings.lease_seconds
        )
        return _claimed(loaded, seconds)

    async def complete(self, claimed: Claimed | JobToken, outcome: Outcome) -> Job:
        """End the attempt: a verdict that the job's policy retries leads to another attempt.

        The same outcome again is a no-op.

        Raises:
            LeaseLost: the token does not own the job.
            IllegalTransition: it was never started, or no cancel was requested.
        """
        token = claimed.token
        loaded = await self._change(
            claimed, lambda job, now: leases.complete(job, token, outcome, now=now)
        )
        return loaded.value

    async def release(self, claimed: Claimed | JobToken, *, why: str = "released") -> Job:
        """Give the job back unfinished; it uses no attempt, but every tenth in a row does.

        Raises:
            LeaseLost: the token does not own the job.
        """
        token = claimed.token
        check_text("why", why)
        loaded = await self._change(
            claimed, lambda job, now: leases.release(job, token, now=now, why=why)
        )
        return loaded.value

    async def stats(
        self, pool_name: str | None = None, *, since: datetime | None = None
    ) -> QueueStats:
        """Return depths, waits, executions, the failure rate and the oldest age.

        It costs the same at a thousand jobs and at a million.

        Args:
            pool_name: one pool; None: all of them.
            since: the beginning of what is measured; 24 hours ago when left out.

        Raises:
            InvalidInput: ``pool_name`` is no name, or ``since`` is naive or lies in the future.
        """
        if pool_name is not None:
            check_name("pool_name", pool_name)
        begin = require_aware("since", since)
        return await read_stats(self._writer, self._lanes, pool_name, begin)

    async def _change(
        self,
        claimed: Claimed | JobToken,
        decide: Callable[[Job, datetime], Decision[Job]],
        lease: Callable[[Loaded[Job], datetime], Lease | None] | None = None,
    ) -> Loaded[Job]:
        """Decide from the handle without a load; what has gone is a lost lease to its holder."""
        before = _basis(claimed)
        job_id = _job_id(claimed)
        try:
            return await self._repository.change(job_id, decide, before=before, lease=lease)
        except NotFound as gone:
            raise LeaseLost(job_id, claimed.token.fence, "the job is gone") from gone

    async def _take(self, claim: Claim, seconds: float, *, repeatable: bool) -> list[Claimed]:
        """Claim; if the caller is cancelled meanwhile, give back what nobody will know of.

        Whoever chose the request id may repeat the request, and learns by that what it got.
        """
        try:
            records = await self._writer.patiently(lambda: self._writer.store.claim(claim))
        except anyio.get_cancelled_exc_class():
            if not repeatable:
                with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
                    await self._give_back(evolve(claim, limit=0), seconds)
            raise
        return self._decoded(records, seconds)

    async def _give_back(self, claim: Claim, seconds: float) -> None:
        try:
            records = await self._writer.store.claim(claim)
            for claimed in self._decoded(records, seconds):
                await self.release(claimed, why="the claim was cancelled")
        except CicdError as refused:  # the leases run out by themselves
            _log.warning("a cancelled claim was not given back: %s", refused)

    def _decoded(self, records: Sequence[Record], seconds: float) -> list[Claimed]:
        """Return the handles; a record that does not decode must not hold up the others."""
        claims: list[Claimed] = []
        for record in records:
            try:
                claims.append(_claimed(load_job(record), seconds))
            except CicdError:
                _log.exception("job %s was claimed and can't be read; skipped", record.key)
        return claims

    async def _more_may_come(self, served: ServedLanes, until: float) -> bool:
        left = until - anyio.current_time()
        if left <= 0:
            return False
        pause = min(left, self._writer.settings.lane_refresh_seconds)
        store = self._writer.store
        await self._writer.patiently(lambda: store.wait(served.watches(), pause))
        return True

    def _lease_seconds(self, asked: float | None) -> float:
        settings = self._writer.settings
        if asked is None:
            return settings.lease_seconds
        return check_seconds("lease_seconds", asked, least=1.0, most=settings.max_lease_seconds)

    def _claim_id(self, agent_id: str, request_id: str | None) -> str:
        """Return a claim id; the same one for the same request of the same agent."""
        if request_id is None:
            return self._writer.ids.claim_id()
        check_text("request_id", request_id, most=256)
        if not request_id:
            raise InvalidInput("request_id", request_id, "give a unique text, or None")
        whole = f"{agent_id}\0{request_id}"
        return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def _basis(claimed: Claimed | JobToken) -> Loaded[Job] | None:
    """Return what this control plane, or another one on the same store, knew at the claim."""
    basis = claimed.basis if isinstance(claimed, Claimed) else None
    return cast("Loaded[Job]", basis) if isinstance(basis, Loaded) else None


def _job_id(claimed: Claimed | JobToken) -> str:
    return claimed.job.job_id if isinstance(claimed, Claimed) else claimed.job_id


def _claimed(loaded: Loaded[Job], seconds: float) -> Claimed:
    token: Token | None = loaded.value.token
    if token is None or loaded.lease is None:
        raise LeaseLost(loaded.value.job_id, loaded.value.fence, "nobody holds the job")
    return Claimed(
        job=loaded.value,
        token=token,
        version=loaded.version,
        lease_seconds=seconds,
        expires_at=from_micros(loaded.lease.expires),
        basis=loaded,
    )


def _lease_status(
    claimed: Claimed | JobToken, answer: Renewed | None, told: Loaded[Job] | None
) -> LeaseStatus:
    if answer is None:
        return LeaseStatus(held=False)
    expires_at = from_micros(answer.expires)
    if told is None:
        return LeaseStatus(held=True, expires_at=expires_at)
    if told.lease is None or told.value.token != claimed.token:
        return LeaseStatus(held=False)
    return LeaseStatus(
        held=True,
        expires_at=expires_at,
        cancel_requested=told.value.cancel_requested_at is not None,
        cancel_reason=told.value.cancel_reason,
    )
