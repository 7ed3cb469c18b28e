"""Claiming: what an agent asks for becomes one claim of the store, and its records handles."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, evolve, frozen

from cicd_core.errors import AgentUnavailable, CicdError, InvalidInput, LeaseLost
from cicd_core.lifecycle import leases
from cicd_core.model.checks import (
    MAX_JOB_TYPES,
    check_integer,
    check_kind,
    check_name,
    check_names,
    check_seconds,
    check_text,
)
from cicd_core.model.claim import ClaimedJob
from cicd_core.model.instants import from_micros, sort_key
from cicd_core.persistence.collections import JOBS, READY
from cicd_core.persistence.grants import Grant, Loaded, load_job
from cicd_core.persistence.mappings import micros
from cicd_core.store.records import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Sequence

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.lanes import LaneBook, ServedLanes
    from cicd_core.model.job import Job, LeaseToken
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Record, StoreTime

_log = logging.getLogger("cicd_core.queue")

#: The most jobs in one claim, and the longest that a claim waits for the first one, in seconds.
MAX_CLAIM = 256
MAX_WAIT = 3600.0
#: How long a claim that was cancelled may take to give back what it got, in seconds.
_GIVE_BACK_SECONDS = 5.0


@frozen(kw_only=True)
class ClaimRequest:
    """What an agent asks for; the fields mean what they mean to ``QueueService.claim``."""

    agent_id: str
    pool_name: str
    labels: Collection[str]
    job_types: Collection[str] | None
    limit: int
    wait: float
    starting: bool
    lease_seconds: float | None
    request_id: str | None


@define
class _PlaceInLine:
    """How a claim waits for work."""

    #: Its turn, once it has waited.
    turn: str = ""
    #: The lanes for whose work it may have been woken, until it has claimed from them.
    woken_for: tuple[str, ...] = ()


class Claimer:
    """Takes jobs for agents."""

    def __init__(
        self, context: Context, repository: Repository[Job], lanes: LaneBook, agents: AgentService
    ) -> None:
        """Take the way to the store, the jobs' records, the lanes and the agents."""
        self._context = context
        self._repository = repository
        self._lanes = lanes
        self._agents = agents
        self._turns = 0

    async def claim(self, request: ClaimRequest) -> list[ClaimedJob]:
        """Claim, and wait for the first job as long as the request says.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            AgentUnavailable: the agent takes no work, and holds nothing by this request.
        """
        seconds = self._lease_seconds(request.lease_seconds)
        claim = self._claim_of(request, seconds)
        repeatable = request.request_id is not None
        pool_name, has = request.pool_name, frozenset(check_names("labels", request.labels))
        types = request.job_types
        types = (
            None
            if types is None
            else frozenset(check_names("job_types", types, most=MAX_JOB_TYPES))
        )
        until = anyio.current_time() + check_seconds("wait", request.wait, most=MAX_WAIT)
        served = await self._lanes.serving(pool_name, has, types)
        place = _PlaceInLine()
        try:
            while True:
                try:
                    await self._agents.require_fit(request.agent_id)
                except AgentUnavailable:
                    # A repetition must learn what the first call got: nobody else knows of it.
                    held = await self._held(claim, seconds) if repeatable else []
                    held = await self._in_time(held)
                    if held:
                        return held
                    raise
                wanted = await self._dated(evolve(claim, partitions=served.keys), request)
                claimed, claim = await self._take(wanted, seconds, repeatable=repeatable)
                place.woken_for = ()  # a claim that leaves work behind wakes the next one
                if claimed:
                    return claimed
                # Nothing in the lanes that were known: new ones may have come, which cost a look.
                known, served = served, await self._lanes.serving(pool_name, has, types, anew=True)
                if served.keys == known.keys and not await self._more_may_come(
                    served, claim, until, place
                ):
                    return claimed
        finally:
            if place.woken_for:
                await _beside(self._pass_on, claim, place.woken_for)

    def _claim_of(self, request: ClaimRequest, seconds: float) -> Claim:
        """Return the claim, for the store, of what is in no lane yet."""
        agent_id = check_name("agent_id", request.agent_id)
        check_name("pool_name", request.pool_name)
        check_kind("starting", request.starting, bool)
        grant = Grant(agent_id=agent_id, starting=request.starting)
        longest = None if request.starting else self._context.settings.start_timeout_seconds
        return Claim(
            claim_id=self._claim_id(agent_id, request.request_id),
            collection=JOBS.name,
            index=READY,
            partitions=(),
            limit=check_integer("limit", request.limit, least=1, most=MAX_CLAIM),
            grant=grant.encode(),
            duration=micros(seconds),
            lease_limit=None if longest is None else micros(longest),
            patch=grant.patch(request.pool_name),
        )

    async def _dated(self, claim: Claim, request: ClaimRequest) -> Claim:
        """Return the claim with what tells the calendar's moment of it: a lease does not."""
        ahead = (await self._context.store.now()).ahead
        grant = Grant(agent_id=request.agent_id, starting=request.starting, ahead=ahead)
        return evolve(claim, grant=grant.encode())

    async def _take(
        self, claim: Claim, seconds: float, *, repeatable: bool
    ) -> tuple[list[ClaimedJob], Claim]:
        """Claim; if that fails, or is cancelled, give back what the caller will not know of.

        A caller that chose the request id can ask what the request got, and may repeat it.

        Returns:
            What was taken, and the claim to go on with: another one holds what can't be read.
        """
        try:
            while True:
                records = await self._claimed(claim)
                claims = _decoded(records, seconds, await self._context.store.now())
                in_time = await self._in_time(claims)
                if in_time or not records:
                    return in_time, claim
                # All of them came too late, or can't be read: there may be others behind them.
                if not claims:
                    claim = _beyond(claim)
        except BaseException:
            if not repeatable:
                await _beside(self._give_back, claim, seconds)
            raise

    async def _in_time(self, claims: Sequence[ClaimedJob]) -> list[ClaimedJob]:
        """Return those that were claimed before their deadlines, and end the others.

        Maintenance ends them too, but looks only now and then.
        """
        kept: list[ClaimedJob] = []
        for claimed in claims:
            if not leases.missed_deadline(claimed.job):
                kept.append(claimed)
                continue
            try:
                await self._turn_away(claimed)
            except LeaseLost as lost:  # somebody else was faster
                _log.debug("nothing to end: %s", lost)
        return kept

    async def _turn_away(self, claimed: ClaimedJob) -> None:
        token, steady = claimed.token, (await self._context.store.now()).micros
        await self._repository.change(
            claimed.job.job_id,
            lambda job, now: leases.expire_claim(job, token, now=now, steady=steady),
        )

    async def held(self, agent_id: str, request_id: str, seconds: float | None) -> list[ClaimedJob]:
        """Return what a request has taken and still holds; it takes nothing, whatever it finds.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        request = ClaimRequest(
            agent_id=agent_id,
            pool_name="default",  # it tells where to look for work, and none is looked for
            labels=(),
            job_types=None,
            limit=1,
            wait=0.0,
            starting=True,
            lease_seconds=seconds,
            request_id=request_id,
        )
        lasting = self._lease_seconds(seconds)
        return await self._held(self._claim_of(request, lasting), lasting)

    async def _held(self, claim: Claim, seconds: float) -> list[ClaimedJob]:
        asked = evolve(claim, limit=0)
        while records := await self._claimed(asked):
            claims = _decoded(records, seconds, await self._context.store.now())
            if claims:
                return claims
            asked = _beyond(asked)
        return []

    async def _claimed(self, claim: Claim) -> list[Record]:
        return await self._context.store.claim(claim)

    async def _give_back(self, claim: Claim, seconds: float) -> None:
        with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
            try:
                for claimed in await self._held(claim, seconds):
                    await self._release(claimed)
            except CicdError as refused:  # the leases run out by themselves
                _log.warning("a cancelled claim was not given back: %s", refused)

    async def _release(self, claimed: ClaimedJob) -> None:
        token, steady = claimed.token, (await self._context.store.now()).micros
        why = "the claim was cancelled"
        await self._repository.change(
            claimed.job.job_id,
            lambda job, now: leases.release(
                job, token, now=now, why=why, began=False, steady=steady
            ),
        )

    async def _more_may_come(
        self, served: ServedLanes, claim: Claim, until: float, place: _PlaceInLine
    ) -> bool:
        left = until - anyio.current_time()
        if left <= 0:
            return False
        if not place.turn:
            place.turn = self._next_turn((await self._context.store.now()).micros, claim.claim_id)
        watches = served.watches(place.turn)
        pause = min(left, self._context.settings.lane_refresh_seconds)
        if await self._context.store.wait(watches, pause):
            place.woken_for = served.keys
        return True

    def _next_turn(self, now: int, claim_id: str) -> str:
        """Return a turn of a claim's own, behind those of all that came before."""
        self._turns += 1
        return sort_key(now, f"{self._turns:012d}{claim_id}")

    async def _pass_on(self, claim: Claim, keys: tuple[str, ...]) -> None:
        """Have another one woken for the work that this claim was woken for, and does not take."""
        nothing = evolve(claim, claim_id=self._context.ids.claim_id(), partitions=keys, limit=0)
        with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
            try:
                await self._claimed(nothing)
            except CicdError as refused:  # the others look again by themselves
                _log.warning("a wake-up was not passed on: %s", refused)

    def _lease_seconds(self, asked: float | None) -> float:
        settings = self._context.settings
        if asked is None:
            return settings.lease_seconds
        return check_seconds("lease_seconds", asked, least=1.0, most=settings.max_lease_seconds)

    def _claim_id(self, agent_id: str, request_id: str | None) -> str:
        """Return a claim id; the same one for the same request of the same agent."""
        if request_id is None:
            return self._context.ids.claim_id()
        check_text("request_id", request_id, most=256)
        if not request_id:
            raise InvalidInput("request_id", request_id, "give a unique text, or None")
        whole = f"{agent_id}\0{request_id}"
        return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


async def _beside(call: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """Make a call that no cancellation of this task ends.

    A program of asyncio may cancel its task again, which heeds no shield: so it is another task's.
    """
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, *arguments)


def _beyond(claim: Claim) -> Claim:
    """Return the claim that goes on behind records that this one took and that can't be read.

    They stay under their lease, and would be all that a repetition of this claim is answered. Its
    id follows from this one's, so that a repeated request goes the same way.
    """
    further = hashlib.blake2b(f"beyond\0{claim.claim_id}".encode(), digest_size=16)
    return evolve(claim, claim_id=further.hexdigest())


def handle_of(
    loaded: Loaded[Job], seconds: float, time: StoreTime, holder: LeaseToken | None = None
) -> ClaimedJob:
    """Return what the holder of a job gets.

    Args:
        loaded: the job's record.
        seconds: how long a renewal lasts.
        time: what the store's clocks say after the lease was granted.
        holder: who asks, if that is not known to own the lease.

    Raises:
        LeaseLost: nobody holds it, or not the ``holder`` that asks.
    """
    job = loaded.value
    token: LeaseToken | None = job.token
    if holder is not None and token != holder:
        raise LeaseLost(job.job_id, holder.fence, f"it is {job.state.value} by now")
    if token is None or loaded.lease is None:
        raise LeaseLost(job.job_id, job.fence, f"it is {job.state.value} ({job.history[-1].why})")
    lease = loaded.lease
    return ClaimedJob(
        job=job,
        token=token,
        version=loaded.version,
        lease_seconds=seconds,
        expires_at=from_micros(time.calendar_of(lease.expires)),
        seconds_left=seconds_left(lease.expires, lease.limit, time),
        at_limit=lease.expires >= lease.limit,
        basis=loaded,
    )


def seconds_left(expires: int, limit: int, time: StoreTime) -> float:
    """Return how many seconds of a lease are left for certain, at least 0.

    A lease may be taken away when ``expires`` has passed for certain; its holder counts the other
    way, as if the clock were as far ahead as it may be.
    """
    return max(0, min(expires, limit) - time.micros - time.uncertainty) / 1_000_000


def _decoded(records: Sequence[Record], seconds: float, time: StoreTime) -> list[ClaimedJob]:
    """Return the handles; a record that does not decode must not hold up the others."""
    claims: list[ClaimedJob] = []
    for record in records:
        try:
            claims.append(handle_of(load_job(record), seconds, time))
        except CicdError:
            _log.exception("job %s was claimed and can't be read; skipped", record.key)
    return claims
