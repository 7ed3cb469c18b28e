"""By when the work on a leased job must have stopped: plain arithmetic on the lease clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from typing import Self

#: Default time that a handler has to end after its scope has fired, in seconds.
STOP_SECONDS: Final = 5.0
#: The largest part of a lease that is reserved for the handler's end; renewals are tried before.
_STOP_PART: Final = 1 / 3
#: Reserve between the end of the work and the end of the lease: a part of the lease, and a maximum
#: in seconds. A killed process must be gone by then, and clocks run at different speeds.
_SLACK_PART: Final = 1 / 12
_MOST_SLACK: Final = 1.0


@frozen(kw_only=True)
class LeaseTimes:
    """When a lease certainly ends, and what follows from that; seconds of the lease clock."""

    #: Until when the lease is certainly valid if no further renewal succeeds.
    valid_until: float
    #: Whether no renewal can extend the lease further.
    at_limit: bool
    #: Length of the lease after a renewal.
    lease_seconds: float
    #: When the job times out.
    timeout_at: float
    #: How long the handler needs to end.
    stop_seconds: float

    @property
    def slack(self) -> float:
        """The reserve before the end of the lease; it is smaller if a timeout is near."""
        most = min(_MOST_SLACK, self.lease_seconds * _SLACK_PART)
        room = (self.valid_until - self.timeout_at) / 3
        return max(most / 4, min(most, room)) if self.at_limit and room > 0 else most

    @property
    def end_at(self) -> float:
        """By when all work must have ended; what still runs is killed if possible."""
        return self.valid_until - self.slack

    @property
    def stop_at(self) -> float:
        """When to stop a handler whose lease is not renewed, so that it ends in time.

        If the job times out at about that moment, the handler is stopped at the timeout instead:
        no job gets less than its timeout, but the handler has less time to end.
        """
        margin = min(self.stop_seconds + self.slack, self.lease_seconds * _STOP_PART)
        early, latest = self.valid_until - margin, self.end_at - self.slack
        if self.at_limit:
            return min(max(early, self.timeout_at), latest)
        return self.timeout_at if early < self.timeout_at <= latest else early

    @property
    def times_out_first(self) -> bool:
        """Whether the timeout comes before the end of the lease, or limits the lease."""
        return self.at_limit or self.timeout_at <= self.stop_at

    def lost(self, now: float) -> Self:
        """Return the times of a lease that has another owner: all work must end at once."""
        return evolve(self, valid_until=min(self.valid_until, now + 2 * self.slack))

    def renewed(self, *, valid_until: float, at_limit: bool) -> Self:
        """Return the times after a renewal: the end of a lease never moves back."""
        later = max(self.valid_until, valid_until)
        return evolve(self, valid_until=later, at_limit=at_limit)
