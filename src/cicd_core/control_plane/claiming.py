"""Claiming: an agent's request becomes a claim of the store, whose records become handles."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define

from cicd_core.clock import monotonic_seconds
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
from cicd_core.model.claim import MAX_CLAIM, MAX_WAIT_SECONDS, ClaimedJob
from cicd_core.model.instants import SECOND, from_micros, micros, sort_key
from cicd_core.persistence.collections import JOBS, READY
from cicd_core.persistence.grants import Grant, Loaded, load_job
from cicd_core.store.records import Claim
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Sequence

    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.lanes import LaneBook, ServedLanes
    from cicd_core.model.job import Job, LeaseToken
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Record, StoreTime

_log = logging.getLogger("cicd_core.queue")

#: Time limit for a cancelled claim to release its jobs, in seconds.
_GIVE_BACK_SECONDS = 5.0


@define
class _PlaceInLine:
    """The place of a claim among those that wait."""

    #: Its turn, after its first wait.
    turn: str = ""
    #: The lanes that may have woken it, until it has claimed from them.
    woken_for: tuple[str, ...] = ()


class Claimer:
    """Claims jobs for agents."""

    def __init__(
        self, context: Context, repository: Repository[Job], lanes: LaneBook, agents: AgentService
    ) -> None:
        self._context = context
        self._repository = repository
        self._lanes = lanes
        self._agents = agents
        self._turns = 0

    async def claim(
        self,
        *,
        agent_id: str,
        pool_name: str,
        labels: Collection[str],
        job_types: Collection[str] | None,
        limit: int,
        wait: float,
        start: bool,
        lease_seconds: float | None,
        request_id: str | None,
    ) -> list[ClaimedJob]:
        """Claim, and wait for the first job; the arguments are those of ``QueueService.claim``.

        Raises:
            InvalidInput: an argument is wrong; the error names it.
            AgentUnavailable: the agent takes no work, and holds no job of this request.
        """
        seconds = self._lease_seconds(lease_seconds)
        check_name("agent_id", agent_id)
        check_name("pool_name", pool_name)
        check_kind("start", start, bool)
        grant = Grant(agent_id=agent_id, start=start)
        claim = self._claim_of(grant, pool_name, limit, seconds, request_id)
        repeatable = request_id is not None
        has = frozenset(check_names("labels", labels))
        types = (
            None
            if job_types is None
            else frozenset(check_names("job_types", job_types, most=MAX_JOB_TYPES))
        )
        until = monotonic_seconds() + check_seconds("wait", wait, most=MAX_WAIT_SECONDS)
        served = await self._lanes.serving(pool_name, has, types)
        place = _PlaceInLine()
        try:
            while True:
                try:
                    await self._agents.require_fit(agent_id)
                except AgentUnavailable:
                    # A repetition must return the first call's jobs: no other caller knows them.
                    held = await self._held(claim, seconds) if repeatable else []
                    held = await self._in_time(held)
                    if held:
                        return held
                    raise
                wanted = await self._dated(claim, grant, served.keys)
                claimed, claim = await self._take(wanted, seconds, repeatable=repeatable)
                place.woken_for = ()  # a claim that leaves work wakes the next one
                if claimed:
                    return claimed
                # The known lanes have no work: look for new ones, which costs a read.
                known, served = (
                    served,
                    await self._lanes.serving(pool_name, has, types, refresh=True),
                )
                if served.keys == known.keys and not await self._more_may_come(
                    served, claim, until, place
                ):
                    return claimed
        finally:
            if place.woken_for:
                await _beside(self._pass_on, claim, place.woken_for)

    def _claim_of(
        self, grant: Grant, pool_name: str, limit: int, seconds: float, request_id: str | None
    ) -> Claim:
        """Return the store's claim, which has no lanes and no grant yet."""
        longest = None if grant.start else self._context.settings.start_timeout_seconds
        return Claim(
            claim_id=self._claim_id(grant.agent_id, request_id),
            collection=JOBS.name,
            index=READY,
            partitions=(),
            limit=check_integer("limit", limit, least=1, most=MAX_CLAIM),
            grant=b"",
            duration=micros(seconds),
            lease_limit=None if longest is None else micros(longest),
            patch=grant.patch(pool_name),
        )

    async def _dated(self, claim: Claim, grant: Grant, lanes: tuple[str, ...]) -> Claim:
        """Return the claim of these lanes, with the calendar's offset, which a lease lacks."""
        ahead = (await self._context.store.now()).ahead
        return evolve(claim, partitions=lanes, grant=evolve(grant, ahead=ahead).encode())

    async def _take(
        self, claim: Claim, seconds: float, *, repeatable: bool
    ) -> tuple[list[ClaimedJob], Claim]:
        """Claim; if that fails, or is cancelled, release the jobs that the caller does not know.

        A caller that chose the request id can ask for its jobs, and may repeat the request.

        Returns:
            The jobs, and the next claim: another one if this one holds unreadable records.
        """
        try:
            while True:
                records = await self._context.store.claim(claim)
                claims = _decoded(records, seconds, await self._context.store.now())
                in_time = await self._in_time(claims)
                if in_time or not records:
                    return in_time, claim
                # All were too late or unreadable: there may be others after them.
                if not claims:
                    claim = _beyond(claim)
        except BaseException:
            if not repeatable:
                await _beside(self._give_back, claim, seconds)
            raise

    async def _in_time(self, claims: Sequence[ClaimedJob]) -> list[ClaimedJob]:
        """Return the jobs claimed before their deadlines, and end the others.

        Maintenance also ends them, but later.
        """
        kept: list[ClaimedJob] = []
        for claimed in claims:
            if not leases.missed_deadline(claimed.job):
                kept.append(claimed)
                continue
            try:
                await self._turn_away(claimed)
            except LeaseLost as lost:  # another caller was faster
                _log.debug("the claim has already ended: %s", lost)
        return kept

    async def _turn_away(self, claimed: ClaimedJob) -> None:
        token = claimed.token
        await self._repository.change(
            claimed.job.job_id,
            lambda job, now, steady: leases.expire_claim(job, token, now=now, steady=steady),
        )

    async def held(self, agent_id: str, request_id: str, seconds: float | None) -> list[ClaimedJob]:
        """Return the jobs that a request has claimed and still holds; claim nothing.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        # The lanes do not matter here: nothing is claimed.
        grant = Grant(agent_id=check_name("agent_id", agent_id), start=True)
        lasting = self._lease_seconds(seconds)
        claim = self._claim_of(grant, "default", 1, lasting, request_id)
        return await self._held(claim, lasting)

    async def _held(self, claim: Claim, seconds: float) -> list[ClaimedJob]:
        asked = evolve(claim, limit=0)
        while records := await self._context.store.claim(asked):
            claims = _decoded(records, seconds, await self._context.store.now())
            if claims:
                return claims
            asked = _beyond(asked)
        return []

    async def _give_back(self, claim: Claim, seconds: float) -> None:
        with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
            try:
                for claimed in await self._held(claim, seconds):
                    await self._release(claimed)
            except CicdError as refused:  # the leases expire by themselves
                _log.warning("a cancelled claim was not released: %s", refused)

    async def _release(self, claimed: ClaimedJob) -> None:
        token, reason = claimed.token, "the claim was cancelled"
        await self._repository.change(
            claimed.job.job_id,
            lambda job, now, steady: leases.release(
                job, token, now=now, reason=reason, began=False, steady=steady
            ),
        )

    async def _more_may_come(
        self, served: ServedLanes, claim: Claim, until: float, place: _PlaceInLine
    ) -> bool:
        left = until - monotonic_seconds()
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
        """Return a new turn, after those of all earlier claims."""
        self._turns += 1
        return sort_key(now, f"{self._turns:012d}{claim_id}")

    async def _pass_on(self, claim: Claim, keys: tuple[str, ...]) -> None:
        """Wake another claim for the work that woke this one, if this one does not take it."""
        nothing = evolve(claim, claim_id=self._context.ids.claim_id(), partitions=keys, limit=0)
        with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
            try:
                await self._context.store.claim(nothing)
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
            raise InvalidInput("request_id", request_id, "give a unique string, or None")
        whole = f"{agent_id}\0{request_id}"
        return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


async def _beside(call: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    """Make a call that no cancellation of this task ends.

    A second cancellation on asyncio ignores shields, so another task makes the call.
    """
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, *arguments)


def _beyond(claim: Claim) -> Claim:
    """Return the claim that continues after this one's unreadable records.

    They stay leased, and a repetition of this claim would return only them. The new id is derived
    from this one's, so that a repeated request takes the same path.
    """
    further = hashlib.blake2b(f"beyond\0{claim.claim_id}".encode(), digest_size=16)
    return evolve(claim, claim_id=further.hexdigest())


def handle_of(
    loaded: Loaded[Job], seconds: float, time: StoreTime, holder: LeaseToken | None = None
) -> ClaimedJob:
    """Return the handle for the holder of a job.

    Args:
        loaded: the job's record.
        seconds: the length of a renewal.
        time: the store's time after the lease was granted.
        holder: the caller, if it is not known to own the lease.

    Raises:
        LeaseLost: it has no holder, or another one than ``holder``.
    """
    job = loaded.value
    token: LeaseToken | None = job.token
    if holder is not None and token != holder:
        raise LeaseLost(job.job_id, holder.fence, f"it is {job.state.value} by now")
    if token is None or loaded.lease is None:
        raise LeaseLost(
            job.job_id, job.fence, f"it is {job.state.value} ({job.history[-1].reason})"
        )
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
    """Return the seconds of a lease that are left for certain, at least 0.

    A lease may be taken away when ``expires`` has certainly passed; its holder assumes the
    opposite: that the clock is as far ahead as it may be.
    """
    return max(0, min(expires, limit) - time.micros - time.uncertainty) / SECOND


def _decoded(records: Sequence[Record], seconds: float, time: StoreTime) -> list[ClaimedJob]:
    """Return the handles; a record that does not decode must not block the others."""
    claims: list[ClaimedJob] = []
    for record in records:
        try:
            claims.append(handle_of(load_job(record), seconds, time))
        except CicdError:
            _log.exception("job %s was claimed but cannot be read; skipped", record.key)
    return claims
