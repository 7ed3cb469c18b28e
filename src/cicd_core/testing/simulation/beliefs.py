"""Checks that no other agent gets a job while its holder may still rely on the lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cicd_core.model.instants import SECOND
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.model.job import LeaseToken


class Requires(Protocol):
    """Checks conditions."""

    def __call__(self, invariant: str, holds: bool, text: str) -> None:
        """Report a promise, and whether it is kept."""
        ...


@frozen
class _Belief:
    token: LeaseToken
    #: The instant in µs until which the lease holds by the answers.
    until: int


class Beliefs:
    """The answers to the holders, on which a stalled holder still relies."""

    def __init__(self, require: Requires) -> None:
        self._require = require
        self._by_job: dict[str, _Belief] = {}

    def granted(self, job_id: str, token: LeaseToken, *, now: int, seconds_left: float) -> None:
        """Add a claim: no other agent may rely on the job."""
        before = self._by_job.get(job_id)
        self._must_be_over(job_id, before if before and before.token != token else None, now)
        self._by_job[job_id] = _Belief(token, now + int(seconds_left * SECOND))

    def renewed(self, job_id: str, token: LeaseToken, *, now: int, seconds_left: float) -> None:
        """Add a renewal."""
        self._by_job[job_id] = _Belief(token, now + int(seconds_left * SECOND))

    def lost(self, job_id: str, token: LeaseToken, *, now: int) -> None:
        """Add the answer that a lease is lost: it must not come before the lease's end."""
        belief = self._of(job_id, token)
        self._must_be_over(job_id, belief, now)
        self.ended(job_id, token)

    def ended(self, job_id: str, token: LeaseToken) -> None:
        """Remove a holder that has stopped: its work or its process has ended."""
        if self._of(job_id, token) is not None:
            del self._by_job[job_id]

    def _of(self, job_id: str, token: LeaseToken) -> _Belief | None:
        belief = self._by_job.get(job_id)
        return belief if belief is not None and belief.token == token else None

    def _must_be_over(self, job_id: str, belief: _Belief | None, now: int) -> None:
        self._require(
            "leases last as long as promised",
            belief is None or belief.until <= now,
            f"job {job_id} was taken from a holder whose lease was promised for longer",
        )
