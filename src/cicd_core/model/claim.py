"""The results of claims and renewals."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from attrs import Factory, asdict, field

from cicd_core.errors import CicdError
from cicd_core.model.job import Job, LeaseToken
from cicd_core.values import frozen

#: The most jobs in one claim, and the longest that a claim waits for the first one, in seconds.
MAX_CLAIM: Final = 256
MAX_WAIT_SECONDS: Final = 3600.0
#: The most attempts that one call ends.
MAX_ENDS: Final = 256


def _whole_lease(claimed: ClaimedJob) -> float:
    return claimed.lease_seconds


@frozen(kw_only=True)
class ClaimedJob:
    """A job that its holder may run while it renews the lease.

    Pass it unchanged to start, complete, release and progress: the source that gave it then
    commits without reading the job again.
    """

    job: Job
    token: LeaseToken
    #: The version of the job's record, which the next write expects.
    version: int
    #: The length of a renewal, in seconds, from the moment of its request.
    lease_seconds: float
    #: When the lease ends, on the store's clock (UTC).
    expires_at: datetime
    #: Seconds of the lease that are left for certain: the granted time, less the uncertainty of
    #: the store's clock. Count them from before the call was sent, not from its answer. The full
    #: ``lease_seconds`` if the source does not give it.
    seconds_left: float = field(default=Factory(_whole_lease, takes_self=True))
    #: Whether no renewal extends the lease any more: the attempt is at its time limit.
    at_limit: bool = False
    #: Private data of the source.
    basis: object = field(default=None, eq=False, repr=False)


@frozen(kw_only=True)
class LeaseStatus:
    """The result of renewing one lease."""

    #: False: the job now has another owner, or none; stop the work and drop its result.
    held: bool
    #: The new end of the lease (UTC); None if it is lost.
    expires_at: datetime | None = None
    #: Seconds of the lease that are left for certain, counted from before the call was sent;
    #: None if the source does not give them, or the lease is lost.
    seconds_left: float | None = None
    #: Whether no renewal extends the lease any more: the attempt is at its time limit.
    at_limit: bool = False
    #: Whether a cancel was requested: the holder should stop.
    cancel_requested: bool = False
    cancel_reason: str | None = None


@frozen(kw_only=True)
class ClaimRef:
    """The parts of a :class:`ClaimedJob` that another process needs, for use over HTTP."""

    job_id: str
    token: LeaseToken
    #: The length of a renewal, in seconds, as in the claim. Default: that of the settings.
    lease_seconds: float | None = None
    #: The version of the job's record as the holder last saw it, so that a renewal reads the job
    #: only when something changed. None: it is read each time.
    version: int | None = None
    #: The agent that uses it: another agent's lease is refused with ``NotPermitted``.
    #: None: the token alone decides.
    agent_id: str | None = None


@frozen(kw_only=True)
class ClaimRequest:
    """A claim that does not wait for work; the arguments of ``QueueService.claim``."""

    agent_id: str
    pool_name: str = "default"
    labels: tuple[str, ...] = ()
    job_types: tuple[str, ...] | None = None
    limit: int = 1
    start: bool = False
    lease_seconds: float | None = None
    request_id: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments by name."""
        return asdict(self, recurse=False)


class Exchanged(NamedTuple):
    """The result of ``QueueService.exchange``."""

    #: For each end, in the order given: None if it counts, or why it was refused.
    errors: tuple[CicdError | None, ...]
    #: The claimed jobs, best first.
    claims: tuple[ClaimedJob, ...] = ()
    #: Why nothing was claimed; None if the claim was not refused.
    claim_error: CicdError | None = None
