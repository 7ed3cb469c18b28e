"""The claim loop: it asks for as many jobs as slots are free, and waits at the other side."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.agent.lease_clock import lease_clock
from cicd_core.agent.retry import (
    CALL_SECONDS,
    LAST_WORDS_SECONDS,
    Backoff,
    answer_within,
)
from cicd_core.errors import AgentUnavailable, CicdError
from cicd_core.model.claim import MAX_CLAIM
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.agent.fitness import Fitness
    from cicd_core.agent.protocols import WorkQueue
    from cicd_core.agent.shutdown import Drain
    from cicd_core.agent.slots import Slots
    from cicd_core.ids import IdSource
    from cicd_core.model.claim import ClaimedJob

_log = logging.getLogger("cicd_core.agent")

#: How often an agent that runs until it is idle asks while it is unfit, before it ends with that.
_UNFIT_TRIES: Final = 5


@frozen(kw_only=True)
class ClaimTerms:
    """What the agent claims, and how long a claim waits for it."""

    agent_id: str
    pool_name: str
    labels: tuple[str, ...]
    job_types: tuple[str, ...]
    lease_seconds: float | None
    wait_seconds: float
    #: The loop ends when nothing can be claimed and nothing runs.
    until_idle: bool


class ClaimLoop:
    """Claims until the agent drains, or is idle; whatever it gets goes to ``begin``."""

    def __init__(  # noqa: PLR0917 - its collaborators, each of its own type
        self,
        queue: WorkQueue,
        terms: ClaimTerms,
        slots: Slots,
        fitness: Fitness,
        drain: Drain,
        ids: IdSource,
        begin: Callable[[ClaimedJob, float], None],
    ) -> None:
        """``begin`` gets a job and when its claim was sent, and takes a slot at once."""
        self._queue = queue
        self._terms = terms
        self._slots = slots
        self._fitness = fitness
        self._drain = drain
        self._ids = ids
        self._begin = begin
        self._pause = anyio.CancelScope()
        self._scope = anyio.CancelScope()

    async def run(self) -> None:
        """Claim; return when the agent drains and nothing is in flight any more.

        Raises:
            CicdError: the other side refuses the claim for good: a bad pool name, say.
            AgentUnavailable: it is to run until it is idle, and gets no work since it is unhealthy.
        """
        with self._scope:
            while self._drain.reason is None:
                if not self._room():
                    await self._slots.changed()
                elif await self._is_fit():
                    await self._claim_and_begin()

    def interrupt(self) -> None:
        """Let a claim that waits come back with what it has, and look again what is to do."""
        self._slots.wake()
        self._pause.cancel()

    def give_up(self) -> None:
        """End now; a claim in flight that is not answered in time is left to its lease."""
        self._scope.cancel()

    def _room(self) -> int:
        """Return how many jobs more may run here."""
        return max(0, min(self._slots.free, self._fitness.most - self._slots.busy))

    async def _is_fit(self) -> bool:
        """Wait until this machine can run jobs; False: there is something else to look at first."""
        with anyio.CancelScope() as self._pause:
            await self._fitness.recover()
            return True
        return False

    async def _claim_and_begin(self) -> None:
        request_id = self._ids.claim_id()
        limit = 1 if self._fitness.doubt else min(self._room(), MAX_CLAIM)
        sent_at = lease_clock()
        try:
            claims = await self._claim(request_id, limit)
        except BaseException:  # cancelled, or refused for good after an answer was lost
            with anyio.move_on_after(LAST_WORDS_SECONDS, shield=True):
                await self._give_back(request_id)
            raise
        for claimed in claims:
            self._begin(claimed, sent_at)
        if not claims and self._terms.until_idle and not self._slots.busy:
            self._drain.ask("no work is left")
            await self._drain.begun.wait()

    async def _claim(self, request_id: str, limit: int) -> list[ClaimedJob]:
        """Claim until there is an answer; a request that was cut short is repeated to learn it.

        An agent that is unhealthy gets no work, and asks again until it is better, or is to go. One
        that is to go only asks what the request has got: a repetition might take something new.
        """
        backoff = Backoff()
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
                    if not failed.recoverable:
                        raise
                    delay = backoff.next_delay()
                    _log.warning("the claim failed, next try in %.1f s: %s", delay, failed)
                await anyio.sleep(delay)

    def _ends_unfit(self, refusals: int) -> bool:
        """Whether an agent that is to end when nothing can be claimed waits no longer to be fit."""
        idle = self._terms.until_idle and not self._slots.busy
        return idle and refusals >= _UNFIT_TRIES

    def _wait_seconds(self) -> float:
        """Don't wait for work when the end of it is what we wait for."""
        idle = self._terms.until_idle and not self._slots.busy
        return 0.0 if idle else self._terms.wait_seconds

    async def _ask(self, request_id: str, limit: int, wait: float) -> list[ClaimedJob]:
        terms = self._terms
        with answer_within(wait + CALL_SECONDS):
            return await self._queue.claim(
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
        """Release what a claim that was cancelled took: nobody else knows of it."""
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
