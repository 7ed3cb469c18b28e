"""Settings for operators. Durations are seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_integer, check_seconds
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from attrs import Attribute

_DAY = 24 * 3600.0


def _seconds(least: float, most: float) -> Callable[[object, Attribute[float], float], None]:
    def check(_instance: object, attribute: Attribute[float], value: float) -> None:
        check_seconds(attribute.name, value, least=least, most=most)

    return check


@frozen(kw_only=True)
class Settings:
    """The control plane's settings; the defaults suit a team of a few hundred agents.

    Raises:
        InvalidInput: a value is out of its range; the error names the setting.
    """

    #: Length of a lease without a renewal; at most ``max_lease_seconds``.
    lease_seconds: float = field(default=30.0, validator=_seconds(1.0, _DAY))
    #: The longest lease that a caller may request.
    max_lease_seconds: float = field(default=3600.0, validator=_seconds(1.0, _DAY))
    #: Time limit for the start of a claimed job, regardless of renewals.
    start_timeout_seconds: float = field(default=120.0, validator=_seconds(1.0, _DAY))
    #: Time after its ``timeout_seconds`` that a running job has to stop and report.
    grace_seconds: float = field(default=30.0, validator=_seconds(0.0, _DAY))
    #: An agent without a heartbeat for longer is offline.
    heartbeat_timeout_seconds: float = field(default=30.0, validator=_seconds(1.0, _DAY))
    #: Maximum lifetime of a session …
    session_seconds: float = field(default=_DAY, validator=_seconds(1.0, 365 * _DAY))
    #: … and maximum time without a use.
    session_idle_seconds: float = field(default=8 * 3600.0, validator=_seconds(1.0, 365 * _DAY))
    #: Retention of an ended job, and of a deployment after its last step, when no command
    #: can change its status any more.
    job_retention_seconds: float = field(default=90 * _DAY, validator=_seconds(60.0, 3650 * _DAY))
    deployment_retention_seconds: float = field(
        default=180 * _DAY, validator=_seconds(60.0, 3650 * _DAY)
    )
    #: Retention of an offline or terminated agent; if it returns later, it registers again.
    agent_retention_seconds: float = field(default=7 * _DAY, validator=_seconds(60.0, 3650 * _DAY))
    #: Interval of maintenance.
    sweep_seconds: float = field(default=1.0, validator=_seconds(0.01, 3600.0))
    #: Maximum age of the lanes and the agent's status that a waiting claim uses.
    lane_refresh_seconds: float = field(default=5.0, validator=_seconds(0.1, 3600.0))
    #: Maximum number of repetitions of a decision after a conflict or an unavailable store.
    commit_attempts: int = 8

    def __attrs_post_init__(self) -> None:
        """Check the count, and the settings that depend on each other."""
        check_integer("commit_attempts", self.commit_attempts, least=1, most=1000)
        if self.lease_seconds > self.max_lease_seconds:
            reason = f"give at most max_lease_seconds, {self.max_lease_seconds:g}"
            raise InvalidInput("lease_seconds", self.lease_seconds, reason)
