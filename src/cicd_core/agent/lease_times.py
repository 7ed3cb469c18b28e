"""By when the work on a leased job must have stopped: plain arithmetic on the lease clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from typing import Self

#: How long a handler may take to end once its scope has fired, in seconds, if it does not say.
STOP_SECONDS: Final = 5.0
#: The longest part of a lease that is kept for the handler's end: before that, renewals are tried.
_STOP_PART: Final = 1 / 3
#: What is kept free between the end of the work and the end of the lease: a part of it, and the
#: most seconds. A process that was killed must be gone, and clocks run at different speeds.
_SLACK_PART: Final = 1 / 12
_MOST_SLACK: Final = 1.0


@frozen(kw_only=True)
class LeaseTimes:
    """When a lease ends for certain, and what follows from that; seconds of the lease clock."""

    #: Until when the lease holds for certain, if no further renewal succeeds.
    valid_until: float
    #: No renewal moves that any further.
    at_limit: bool
    #: How long a renewal lasts.
    lease_seconds: float
    #: When the job's own time is over.
    timeout_at: float
    #: What the handler needs to end.
    stop_seconds: float

    @property
    def slack(self) -> float:
        """What is kept free before the end of the lease: less of it where a timeout is near."""
        most = min(_MOST_SLACK, self.lease_seconds * _SLACK_PART)
        room = (self.valid_until - self.timeout_at) / 3
        return max(most / 4, min(most, room)) if self.at_limit and room > 0 else most

    @property
    def end_at(self) -> float:
        """By when everything must have ended; what has not is killed where that is possible."""
        return self.valid_until - self.slack

    @property
    def stop_at(self) -> float:
        """When a handler that is not renewed must be stopped, so that it ends in time.

        A handler whose own time is over about then is stopped at that moment instead, so that no
        job gets less than its timeout: it has less time to end.
        """
        margin = min(self.stop_seconds + self.slack, self.lease_seconds * _STOP_PART)
        early, latest = self.valid_until - margin, self.end_at - self.slack
        if self.at_limit:
            return min(max(early, self.timeout_at), latest)
        return self.timeout_at if early < self.timeout_at <= latest else early

    @property
    def times_out_first(self) -> bool:
        """Whether the job's own time ends before the lease does, or is why the lease ends."""
        return self.at_limit or self.timeout_at <= self.stop_at

    def lost(self, now: float) -> Self:
        """Return the times of a lease that has another owner: everything must end at once."""
        return evolve(self, valid_until=min(self.valid_until, now + 2 * self.slack))

    def renewed(self, *, valid_until: float, at_limit: bool) -> Self:
        """Return the times after a renewal: the end of a lease never moves back."""
        later = max(self.valid_until, valid_until)
        return evolve(self, valid_until=later, at_limit=at_limit)
