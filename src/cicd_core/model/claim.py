"""What a claim gives to an agent, and what a renewal answers."""

from __future__ import annotations

from datetime import datetime

from attrs import Factory, field, frozen

from cicd_core.model.job import Job, LeaseToken


def _whole_lease(claimed: ClaimedJob) -> float:
    return claimed.lease_seconds


@frozen(kw_only=True)
class ClaimedJob:
    """A job that its holder may work on, for as long as the lease is renewed.

    Start, complete, release and progress take it whole: the source that gave it commits from it
    without reading the job again.
    """

    job: Job
    token: LeaseToken
    #: The version of the job's record: what the next write expects.
    version: int
    #: How long a renewal lasts, in seconds, counted from the moment when it was asked for.
    lease_seconds: float
    #: When the lease ends, on the store's clock (UTC).
    expires_at: datetime
    #: How many seconds of the lease are left for certain: what the store granted, less the
    #: uncertainty of its clock. Count them from before the call was sent, not from its answer. A
    #: whole ``lease_seconds`` where the source does not say.
    seconds_left: float = field(default=Factory(_whole_lease, takes_self=True))
    #: Whether no renewal moves the end of the lease any more: the attempt lasts as long as it may.
    at_limit: bool = False
    #: What the source knows besides; nobody else looks inside.
    basis: object = field(default=None, eq=False, repr=False)


@frozen(kw_only=True)
class LeaseStatus:
    """What became of one lease that was to be renewed."""

    #: False: the job has another owner now, or none; stop the work and drop its result.
    held: bool
    #: When the lease ends now (UTC); None when it is lost.
    expires_at: datetime | None = None
    #: How many seconds of the lease are left for certain, counted from before the call was sent;
    #: None where the source does not say, or the lease is lost.
    seconds_left: float | None = None
    #: Whether no renewal moves the end of the lease any more: the attempt lasts as long as it may.
    at_limit: bool = False
    #: Somebody asks the holder to stop.
    cancel_requested: bool = False
    cancel_reason: str | None = None


@frozen(kw_only=True)
class ClaimRef:
    """The id and the token of a :class:`ClaimedJob`: all that travels over HTTP, say."""

    job_id: str
    token: LeaseToken
