"""What a claim gives to an agent, and what a renewal answers."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from cicd_core.model.job import Job, Token


@frozen(kw_only=True)
class Claimed:
    """A job that its holder may work on, for as long as the lease is renewed.

    Start, complete, release and progress take it whole: the source that gave it commits from it
    without reading the job again.
    """

    job: Job
    token: Token
    #: The version of the job's record: what the next write expects.
    version: int
    #: How long a renewal lasts, in seconds, counted from the moment when it was asked for.
    lease_seconds: float
    #: When the lease ends, on the store's clock (UTC).
    expires_at: datetime
    #: What the source knows besides; nobody else looks inside.
    basis: object = field(default=None, eq=False, repr=False)


@frozen(kw_only=True)
class LeaseStatus:
    """What became of one lease that was to be renewed."""

    #: False: the job has another owner now, or none; stop the work and drop its result.
    held: bool
    #: When the lease ends now (UTC); None when it is lost.
    expires_at: datetime | None = None
    #: Somebody asks the holder to stop.
    cancel_requested: bool = False
    cancel_reason: str | None = None


@frozen(kw_only=True)
class JobToken:
    """What is left of a :class:`Claimed` when only its id and token travelled: over HTTP, say."""

    job_id: str
    token: Token
