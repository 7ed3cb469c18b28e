"""The queue, over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio

from cicd_core.agent.retry import Backoff
from cicd_core.control_plane.ready_jobs import ReadyJobs
from cicd_core.errors import CicdError, InvalidInput, OperationRejected, StoreUnavailable
from cicd_core.http.client.connection import (
    ANSWER_SECONDS,
    POLL_SECONDS,
    Connection,
    Doubt,
    encoded,
)
from cicd_core.http.client.holders import end_to_wire, exchanged_from_wire, reference_shown
from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.requests import MAX_JOBS
from cicd_core.http.wire.values import (
    asked_to_wire,
    claim_from_wire,
    from_wire,
    held_from_wire,
    part_of,
    reference_to_wire,
    values_from_wire,
)
from cicd_core.ids import IdSource
from cicd_core.model.checks import MAX_JOB_TYPES, check_kind, check_names, check_seconds
from cicd_core.model.claim import (
    ClaimedJob,
    ClaimRef,
    ClaimRequest,
    Exchanged,
    LeaseStatus,
)
from cicd_core.model.instants import require_aware
from cicd_core.model.job import Job
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.model.spec import checked as checked_spec
from cicd_core.queueing.stats import QueueStats

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Sequence
    from datetime import datetime

_log = logging.getLogger("cicd_core.http")

#: Maximum wait of a claim in seconds, as in the queue itself.
_MAX_WAIT: Final = 3600.0
#: Time limit for a cancelled claim to release its jobs, in seconds.
_GIVE_BACK_SECONDS: Final = 5.0
#: The errors of a claim that took nothing if no try is in doubt: a refusal, or no connection.
_REFUSALS: Final = (InvalidInput, OperationRejected, StoreUnavailable)
#: A server that took at least half of this time to answer has waited, in seconds.
_WAITED: Final = 1.0
#: Number of bytes of jobs in one request; the rest of the body has room besides them.
_BATCH_BYTES: Final = 1_000_000


class RemoteQueue:
    """The queue of a server; the same methods as ``QueueService``."""

    #: A request costs far more than an end in it.
    exchange_from: Final = 1

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection
        self._ids = IdSource()

    async def enqueue(self, spec: JobSpec, *, actor: str = "caller") -> Job:
        """Create a job and put it into the queue.

        If the answer is lost, the call is repeated only with an idempotency key. The server
        replaces ``actor`` with the authenticated caller.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            IdempotencyConflict: the key was used with other fields.
            TooManyLanes: the pool has no room for another combination of job type and labels.
        """
        body = asked_to_wire(checked_spec(spec))
        repeatable = spec.idempotency_key is not None
        path = path_of("queue", "jobs")
        return from_wire(
            Job, await self._connection.call("POST", path, body, repeatable=repeatable)
        )

    async def enqueue_many(self, specs: Sequence[JobSpec], *, actor: str = "caller") -> list[Job]:
        """Enqueue many jobs, up to 1,000 or a megabyte per request; each is created fully or not.

        Raises:
            InvalidInput: a field of any spec is wrong; no job was created.
            IdempotencyConflict: a key was used with other fields; the other jobs may exist.
        """
        if not isinstance(specs, Iterable) or isinstance(specs, str | bytes | Mapping | JobSpec):
            raise InvalidInput("specs", specs, "give a list of JobSpec")
        checked = [checked_spec(spec) for spec in specs]
        jobs: list[Job] = []
        for batch in _batches([asked_to_wire(spec) for spec in checked]):
            repeatable = all(each["idempotency_key"] is not None for each in batch)
            path = path_of("queue", "jobs", "batch")
            answer = await self._connection.call(
                "POST", path, {"jobs": batch}, repeatable=repeatable, seconds=4 * ANSWER_SECONDS
            )
            jobs += values_from_wire(Job, part_of(answer, "jobs"))
        return jobs

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

        The arguments are those of :meth:`cicd_core.control_plane.queue.QueueService.claim`.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AgentUnavailable: the agent is unhealthy or drains.
            AgentDeregistered: it is deregistered: register it again.
        """
        check_seconds("wait", wait, most=_MAX_WAIT)
        request = ClaimRequest(
            agent_id=agent_id,
            pool_name=pool_name,
            labels=check_names("labels", labels),
            job_types=None if job_types is None else _job_types(job_types),
            limit=limit,
            start=start,
            lease_seconds=lease_seconds,
            request_id=request_id,
        )
        body = self._claim_body(request)
        async with self._given_back_on_failure(request, body) as doubt:
            return await self._claim(body, wait, doubt)

    async def exchange(
        self,
        ends: Sequence[tuple[ClaimedJob | ClaimRef, Outcome]],
        claim: ClaimRequest | None = None,
    ) -> Exchanged:
        """End several attempts and claim new jobs in one request; neither depends on the other.

        The arguments are those of :meth:`cicd_core.control_plane.queue.QueueService.exchange`.

        Raises:
            InvalidInput: an end is not a claim with an outcome; nothing was done.
            UnsupportedCapability: the server is older than this method.
        """
        if not isinstance(ends, Iterable) or isinstance(ends, str | bytes | Mapping):
            raise InvalidInput("ends", ends, "give a list of claimed jobs with their outcomes")
        asked = None if claim is None else self._claim_body(claim)
        body = {"ends": [end_to_wire(each, at) for at, each in enumerate(ends)], "claim": asked}
        async with self._given_back_on_failure(claim, asked) as doubt:
            path = path_of("queue", "exchange")
            answer = await self._connection.call("POST", path, body, repeatable=True, doubt=doubt)
            return exchanged_from_wire(answer)

    def _claim_body(self, request: ClaimRequest) -> dict[str, Any]:
        """Return the body of a claim; its request id makes it safe to repeat.

        Raises:
            InvalidInput: a name is wrong.
        """
        check_kind("claim", request, ClaimRequest)
        body = request.arguments()
        body["labels"] = check_names("labels", request.labels)
        if request.job_types is not None:
            body["job_types"] = _job_types(request.job_types)
        if request.request_id is None:
            body["request_id"] = self._ids.claim_id()
        return body

    @asynccontextmanager
    async def _given_back_on_failure(
        self, request: ClaimRequest | None, body: Mapping[str, Any] | None
    ) -> AsyncGenerator[Doubt]:
        """Release the jobs of a claim if the block fails, and no other call could ask for them."""
        doubt = Doubt()
        try:
            yield doubt
        except BaseException as failed:
            is_known = not doubt.is_there and isinstance(failed, _REFUSALS)
            if (
                request is not None
                and body is not None
                and request.request_id is None
                and not is_known
            ):
                with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
                    await self._give_back(body)
            raise

    async def _claim(self, body: dict[str, Any], wait: float, doubt: Doubt) -> list[ClaimedJob]:
        until = anyio.current_time() + wait
        backoff = Backoff()
        while True:
            begin = anyio.current_time()
            left = max(0.0, min(until - begin, POLL_SECONDS))
            claims = await self._claims(
                "claim", body | {"wait": left}, ANSWER_SECONDS + left, doubt
            )
            if claims or anyio.current_time() >= until:
                return claims
            waited = anyio.current_time() - begin
            await anyio.sleep(pause_after_poll(waited, left, backoff))

    async def _claims(
        self, command: str, body: object, seconds: float, doubt: Doubt | None = None
    ) -> list[ClaimedJob]:
        path = path_of("queue", command)
        answer = await self._connection.call(
            "POST", path, body, repeatable=True, seconds=seconds, doubt=doubt
        )
        claims: list[object] = [] if answer is None else part_of(answer, "claims", list[Any])
        return [claim_from_wire(each) for each in claims]

    async def _give_back(self, body: Mapping[str, Any]) -> None:
        try:
            for claimed in await self.held(
                agent_id=body["agent_id"], request_id=body["request_id"]
            ):
                await self.release(claimed, reason="the claim was cancelled", began=False)
        except CicdError as failed:
            _log.warning("a cancelled claim was not released; its leases will expire: %s", failed)

    async def held(
        self, *, agent_id: str, request_id: str, lease_seconds: float | None = None
    ) -> list[ClaimedJob]:
        """Return the jobs that a claim with this request id took and still holds.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        body = {"agent_id": agent_id, "request_id": request_id, "lease_seconds": lease_seconds}
        return await self._claims("held", body, ANSWER_SECONDS)

    async def start(self, claimed: ClaimedJob | ClaimRef) -> ClaimedJob:
        """CLAIMED -> RUNNING; the handler runs only after this has returned.

        Raises:
            LeaseLost: the token does not own the job.
        """
        return await self._as_holder("start", claimed, {})

    async def renew(self, claims: Sequence[ClaimedJob | ClaimRef]) -> list[LeaseStatus]:
        """Renew the leases, in one call for all of them; the answers come in the order given."""
        if not isinstance(claims, Iterable) or isinstance(claims, str | bytes | Mapping):
            raise InvalidInput("claims", claims, "give a list of claimed jobs")
        references = [reference_shown(each, f"claims[{at}]") for at, each in enumerate(claims)]
        body = {"claims": [reference_to_wire(each) for each in references]}
        path = path_of("queue", "renew")
        answer = await self._connection.call("POST", path, body, repeatable=True)
        return values_from_wire(LeaseStatus, part_of(answer, "leases"))

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
        return await self._as_holder(
            "progress", claimed, {"percent": percent, "message": message}, repeatable=False
        )

    async def complete(self, claimed: ClaimedJob | ClaimRef, outcome: Outcome) -> Job:
        """End the attempt; repeating the same outcome is a no-op.

        Raises:
            LeaseLost: the token does not own the job.
            IllegalTransition: it was never started, or no cancel was requested.
        """
        check_kind("outcome", outcome, Outcome)
        answer = await self._tell("complete", claimed, {"outcome": asked_to_wire(outcome)})
        return from_wire(Job, answer)

    async def release(
        self, claimed: ClaimedJob | ClaimRef, *, reason: str = "released", began: bool = True
    ) -> Job:
        """Release the job unfinished; this uses no attempt, but every tenth in a row does.

        Raises:
            LeaseLost: the token does not own the job.
        """
        answer = await self._tell("release", claimed, {"reason": reason, "began": began})
        return from_wire(Job, answer)

    async def stats(
        self, pool_name: str | None = None, *, since: datetime | None = None
    ) -> QueueStats:
        """Return depths, waits, executions, the failure rate and the oldest age.

        Raises:
            InvalidInput: ``pool_name`` is not a name, or ``since`` is naive, in the future or
                more than 92 days ago.
        """
        begin = require_aware("since", since)
        query = {"pool_name": pool_name, "since": None if begin is None else begin.isoformat()}
        answer = await self._connection.get(path_of("queue", "stats"), query)
        return from_wire(QueueStats, answer)

    async def ready(self, pool_name: str = "default", *, limit: int = 50) -> ReadyJobs:
        """Return the jobs of a pool that are claimed next: by priority, then by age.

        Raises:
            InvalidInput: an argument is wrong.
        """
        query = {"pool_name": pool_name, "limit": limit}
        return from_wire(ReadyJobs, await self._connection.get(path_of("queue", "ready"), query))

    async def _as_holder(
        self,
        command: str,
        claimed: ClaimedJob | ClaimRef,
        fields: Mapping[str, Any],
        *,
        repeatable: bool = True,
    ) -> ClaimedJob:
        answer = await self._tell(command, claimed, fields, repeatable=repeatable)
        return held_from_wire(answer, claimed.token)

    async def _tell(
        self,
        command: str,
        claimed: ClaimedJob | ClaimRef,
        fields: Mapping[str, Any],
        *,
        repeatable: bool = True,
    ) -> Any:
        reference = reference_shown(claimed)
        path = path_of("queue", "jobs", name=reference.job_id, command=command)
        shown = reference_to_wire(reference)
        del shown["job_id"]
        return await self._connection.call(
            "PATCH", path, {**shown, **fields}, repeatable=repeatable
        )


def _job_types(names: Collection[str]) -> tuple[str, ...]:
    return check_names("job_types", names, most=MAX_JOB_TYPES)


def pause_after_poll(waited: float, asked: float, backoff: Backoff) -> float:
    """Return how long to pause after an empty answer before the claim is repeated, in seconds.

    A server may wait for less than the requested time (``--max-wait``); then there is no pause. A
    server that is stopping does not wait at all.

    Args:
        waited: how long the server waited, in seconds.
        asked: the requested wait, in seconds.
        backoff: the backoff of this claim.
    """
    if waited < min(asked, _WAITED) / 2:
        return backoff.next_delay()
    backoff.reset()
    return 0.0


def _batches(specs: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Divide jobs into requests of at most a megabyte and 1,000 jobs; one job is far smaller."""
    batches: list[list[dict[str, Any]]] = []
    room = 0
    for spec in specs:
        size = len(encoded(spec)) + 1
        if not batches or size > room or len(batches[-1]) == MAX_JOBS:
            batches.append([])
            room = _BATCH_BYTES
        batches[-1].append(spec)
        room -= size
    return batches
