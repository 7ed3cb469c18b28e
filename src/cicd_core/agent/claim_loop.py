"""The claim loop: it claims a job for each free slot, and waits at the control plane for work."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.agent.lease_clock import lease_clock
from cicd_core.agent.lease_table import RENEWAL_PART
from cicd_core.agent.retry import (
    CALL_SECONDS,
    LAST_WORDS_SECONDS,
    Backoff,
    Outage,
    answer_within,
)
from cicd_core.errors import AgentUnavailable, CicdError
from cicd_core.model.claim import MAX_CLAIM
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.agent.exchanger import Exchanger
    from cicd_core.agent.fitness import Fitness
    from cicd_core.agent.shutdown import Drain
    from cicd_core.agent.slots import Slots
    from cicd_core.ids import IdSource
    from cicd_core.model.claim import ClaimedJob

_log = logging.getLogger("cicd_core.agent")

#: How many refusals an unhealthy agent that ends when idle accepts before it ends.
_UNFIT_TRIES: Final = 5


@frozen(kw_only=True)
class ClaimTerms:
    """What the agent claims, and how long a claim waits for work."""

    agent_id: str
    pool_name: str
    labels: tuple[str, ...]
    job_types: tuple[str, ...]
    lease_seconds: float | None
    wait_seconds: float
    #: Whether the loop ends when no job can be claimed and none is running.
    until_idle: bool


class ClaimLoop:
    """Claims until the agent drains or is idle; passes each claimed job to ``begin``."""

    def __init__(  # noqa: PLR0917 - its collaborators, each of its own type
        self,
        exchanger: Exchanger,
        terms: ClaimTerms,
        slots: Slots,
        fitness: Fitness,
        drain: Drain,
        ids: IdSource,
        begin: Callable[[ClaimedJob, float], None],
    ) -> None:
        """``begin`` gets a job and the time when its claim was sent; it takes a slot at once."""
        self._exchanger = exchanger
        self._queue = exchanger.queue
        self._terms = terms
        self._slots = slots
        self._fitness = fitness
        self._drain = drain
        self._ids = ids
        self._begin = begin
        self._pause = anyio.CancelScope()
        self._scope = anyio.CancelScope()
        #: Whether the call in flight may wait for work.
        self._may_wait = True
        #: The lease length of the last claim.
        self._lease_seconds = math.inf

    async def run(self) -> None:
        """Claim; return when the agent drains and no claim is in flight.

        Raises:
            CicdError: the control plane refuses the claim for good, such as an invalid pool name.
            AgentUnavailable: an agent that ends when idle gets no work because it is unhealthy.
        """
        with self._scope:
            while self._drain.reason is None:
                if not self._room():
                    await self._slots.changed()
                elif await self._is_fit():
                    await self._claim_and_begin()

    def interrupt(self) -> None:
        """Let a waiting claim return with its jobs, and check again what to do."""
        self._slots.wake()
        self._pause.cancel()

    def notice_idle(self) -> None:
        """Let a claim that waits for work return: the agent ends when there is none.

        A claim that does not wait goes on: the agent claims beside its last reports.
        """
        if self._may_wait:
            self._pause.cancel()

    def give_up(self) -> None:
        """End now; the leases of a claim without an answer in time will expire."""
        self._scope.cancel()

    def _room(self) -> int:
        """Return how many more jobs may run here."""
        return max(0, min(self._slots.free, self._fitness.most - self._slots.busy))

    async def _is_fit(self) -> bool:
        """Wait until this machine can run jobs; return False after an interruption."""
        with anyio.CancelScope() as self._pause:
            await self._fitness.recover()
            return True
        return False

    async def _claim_and_begin(self) -> None:
        request_id = self._ids.claim_id()
        limit = 1 if self._fitness.doubt else min(self._room(), MAX_CLAIM)
        was_idle = not self._slots.held
        sent_at = lease_clock()
        try:
            claims = await self._claim(request_id, limit)
        except BaseException:  # cancelled, or refused for good after an answer was lost
            with anyio.move_on_after(LAST_WORDS_SECONDS, shield=True):
                await self._give_back(request_id)
            raise
        for claimed in claims:
            self._lease_seconds = claimed.lease_seconds
            self._begin(claimed, sent_at)
        if not claims and self._terms.until_idle:
            await self._end_if_idle(was_idle=was_idle)

    async def _end_if_idle(self, *, was_idle: bool) -> None:
        """Drain if no job was held when a claim found none; else wait until the last is reported.

        A report may make other jobs ready, such as those of a chain.
        """
        slots = self._slots
        if was_idle and not slots.held:
            self._drain.ask("no work is left")
            await self._drain.begun.wait()
        while slots.held and not slots.busy and self._drain.reason is None:
            await slots.changed()

    async def _claim(self, request_id: str, limit: int) -> list[ClaimedJob]:
        """Claim until there is an answer; a claim that was cut short is repeated with the same id.

        An unhealthy agent gets no work; it asks again until it is healthy or drains. An agent that
        ends when idle gives up if the control plane was away for a minute. A draining agent only
        asks for the jobs that its claim got: a repeated claim might take new ones.
        """
        backoff, outage = Backoff(), Outage(has_limit=self._terms.until_idle)
        refusals = 0
        while True:
            delay = 0.0
            with anyio.CancelScope() as self._pause:
                try:
                    if self._drain.reason is not None:
                        return await self._ask_what_is_held(request_id)
                    return await self._ask(request_id, limit, self._wait_seconds())
                except AgentUnavailable as unfit:
                    if self._drain.reason is not None:
                        continue
                    refusals += 1
                    if self._ends_unfit(refusals):
                        raise
                    delay = backoff.next_delay()
                    _log.warning("no work for now, next try in %.1f s: %s", delay, unfit)
                except CicdError as failed:
                    gives_up = outage.lasts_too_long() and not self._slots.held
                    if gives_up or not failed.recoverable:
                        raise
                    delay = backoff.next_delay()
                    _log.warning("the claim failed, next try in %.1f s: %s", delay, failed)
                await anyio.sleep(delay)

    def _ends_unfit(self, refusals: int) -> bool:
        """Return whether an unhealthy agent that ends when idle must stop waiting."""
        idle = self._terms.until_idle and not self._slots.held
        return idle and refusals >= _UNFIT_TRIES

    def _wait_seconds(self) -> float:
        """Return how long the next claim waits for work.

        An agent that ends when idle does not wait while it runs nothing. While the agent holds
        leases, a claim ends before they can expire: a suspended agent must not get back the jobs
        that it loses.
        """
        wait = self._terms.wait_seconds
        if self._terms.until_idle and not self._slots.busy:
            return 0.0
        if not self._slots.held:
            return wait
        return min(wait, self._lease_seconds * (1 - RENEWAL_PART))

    async def _ask(self, request_id: str, limit: int, wait: float) -> list[ClaimedJob]:
        terms = self._terms
        self._may_wait = wait > 0
        with answer_within(wait + CALL_SECONDS):
            return await self._exchanger.claim(
                agent_id=terms.agent_id,
                pool_name=terms.pool_name,
                labels=terms.labels,
                job_types=terms.job_types,
                limit=limit,
                wait=wait,
                start=True,
                lease_seconds=terms.lease_seconds,
                request_id=request_id,
            )

    async def _ask_what_is_held(self, request_id: str) -> list[ClaimedJob]:
        terms = self._terms
        with answer_within(CALL_SECONDS):
            return await self._queue.held(
                agent_id=terms.agent_id, request_id=request_id, lease_seconds=terms.lease_seconds
            )

    async def _give_back(self, request_id: str) -> None:
        """Release the jobs of a cancelled claim, which only this process knows."""
        try:
            claims = await self._ask_what_is_held(request_id)
        except CicdError as failed:
            _log.warning("a pending claim was not released; its leases will expire: %s", failed)
            return
        for claimed in claims:
            try:
                await self._queue.release(
                    claimed, reason="the agent stopped while it claimed", began=False
                )
            except CicdError as failed:
                _log.warning("job %s was not released: %s", claimed.job.job_id, failed)
