"""Puts the reports of an agent, and its next claim, into one call of the queue where it can.

While a call is under way, further reports wait for its answer and go together into the next one: a
slow network makes the calls larger, not more. A claim that is made when reports are about to be
sent goes with them. No task of its own makes the calls: one of the jobs that report does, for all
of them, and if it is cancelled another one does.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
from anyio.lowlevel import checkpoint
from attrs import define, field

from cicd_core.agent.lease_clock import lease_clock
from cicd_core.errors import CicdError, StoreUnavailable, UnsupportedCapability
from cicd_core.model.claim import ClaimRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.agent.protocols import ExchangeQueue, WorkQueue
    from cicd_core.model.claim import ClaimedJob
    from cicd_core.model.outcome import Outcome

_log = logging.getLogger("cicd_core.agent")

#: The most reports in one call; each may have 8 KiB of a log.
_MOST: Final = 64
#: How long a call may keep further reports waiting, in seconds: one that hangs must not stop them.
_KEEPS_WAITING: Final = 1.0


@define(eq=False)
class _Asked:
    """A part of a call, and its answer."""

    settled: bool = field(default=False, kw_only=True)
    error: CicdError | None = field(default=None, kw_only=True)
    #: Whether its caller must make a call of its own: the queue does not take it with others.
    alone: bool = field(default=False, kw_only=True)


@define(eq=False)
class _End(_Asked):
    """A report."""

    claimed: ClaimedJob
    outcome: Outcome


@define(eq=False)
class _Claim(_Asked):
    """A claim that goes with reports."""

    request: ClaimRequest
    claims: Sequence[ClaimedJob] = ()


class Exchanger:
    """Reports the ends of jobs, and claims. For the main loop of one agent."""

    def __init__(self, queue: WorkQueue) -> None:
        """Take the agent's queue, which may lack the verb ``exchange``."""
        #: The queue, for all other calls.
        self.queue = queue
        self._can_exchange = hasattr(queue, "exchange")
        self._least: int = getattr(queue, "exchange_from", 1)
        self._ends: list[_End] = []
        self._claim: _Claim | None = None
        #: Whether the next call waits for others that are ready now.
        self._collects = False
        #: Until when reports wait for the answer to the last call.
        self._busy_until = -math.inf
        self._answered = anyio.Event()

    async def complete(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        """Report a verdict, perhaps with others.

        Cancellation: another caller sends the other reports of the same call again.

        Raises:
            CicdError: as ``WorkQueue.complete``.
        """
        if not self._can_exchange:
            await self.queue.complete(claimed, outcome)
            return
        end = _End(claimed, outcome)
        self._ends.append(end)
        try:
            while not end.settled:
                if self._collects or lease_clock() < self._busy_until:
                    await self._answered.wait()
                else:
                    await self._send()
        finally:
            if not end.settled and end in self._ends:
                self._ends.remove(end)
        if end.alone:
            await self.queue.complete(claimed, outcome)
        elif end.error is not None:
            raise end.error

    async def claim(self, *, wait: float, **fields: Any) -> list[ClaimedJob]:
        """Claim as by ``WorkQueue.claim``, together with the reports that are about to be sent.

        Cancellation: the answer to a claim that goes with reports is waited for, and returned.

        Raises:
            CicdError: as ``WorkQueue.claim``.
        """
        if self._collects and self._claim is None:
            claim = self._claim = _Claim(ClaimRequest(**fields))
            with anyio.CancelScope(shield=True):  # the call that it goes with has its own limit
                while not claim.settled:
                    await self._answered.wait()
            if claim.error is not None:
                raise claim.error
            if claim.claims or (wait <= 0 and not claim.alone):
                return list(claim.claims)
        return await self.queue.claim(wait=wait, **fields)

    async def _send(self) -> None:
        """Send what waits in one call; then all callers look at their answers."""
        ends: list[_End] = []
        claim: _Claim | None = None
        self._collects = True
        try:
            # Until now the claim loop has not seen the free slot, nor have the jobs reported that
            # ended at the same time.
            await checkpoint()
            await checkpoint()
            self._collects = False
            self._busy_until = lease_clock() + _KEEPS_WAITING
            ends, self._ends = self._ends[:_MOST], self._ends[_MOST:]
            claim, self._claim = self._claim, None
            await self._settle(ends, claim)
        finally:
            self._collects = False
            self._busy_until = -math.inf
            self._ends[:0] = [end for end in ends if not end.settled]
            if self._claim is not None:  # it was not sent
                self._claim.settled = self._claim.alone = True
                self._claim = None
            if claim is not None and not claim.settled:
                claim.settled, claim.error = True, StoreUnavailable("the call was cut short")
            self._answered.set()
            self._answered = anyio.Event()

    async def _settle(self, ends: Sequence[_End], claim: _Claim | None) -> None:
        """Make one call, and give each part its answer."""
        parts: list[_Asked] = [*ends, *([] if claim is None else [claim])]
        if len(ends) < self._least or not self._can_exchange:
            for part in parts:
                part.settled = part.alone = True
            return
        queue = cast("ExchangeQueue", self.queue)
        request = None if claim is None else claim.request
        try:
            answer = await queue.exchange([(end.claimed, end.outcome) for end in ends], request)
        except CicdError as failed:
            self._fail(parts, failed)
            return
        for end, error in zip(ends, answer.errors, strict=True):
            end.settled, end.error = True, error
        if claim is not None:
            claim.claims = answer.claims
            claim.settled, claim.error = True, answer.claim_error

    def _fail(self, parts: Sequence[_Asked], failed: CicdError) -> None:
        """Let callers try again after a passing failure; else each makes a call of its own."""
        if isinstance(failed, UnsupportedCapability):
            _log.info("the control plane takes one report at a time: %s", failed)
            self._can_exchange = False
        for part in parts:
            part.settled = True
            if failed.recoverable:
                part.error = failed
            else:
                part.alone = True
