"""What an operator may set. Durations are seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_integer, check_seconds

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

    #: How long a claim holds without a renewal; at most ``max_lease_seconds``.
    lease_seconds: float = field(default=30.0, validator=_seconds(1.0, _DAY))
    #: The longest lease that a caller may ask for.
    max_lease_seconds: float = field(default=3600.0, validator=_seconds(1.0, _DAY))
    #: A claimed job must be started within this, however often its lease is renewed.
    start_timeout_seconds: float = field(default=120.0, validator=_seconds(1.0, _DAY))
    #: What a running job may take beyond its ``timeout_seconds`` to stop and report.
    grace_seconds: float = field(default=30.0, validator=_seconds(0.0, _DAY))
    #: An agent that was silent for longer is offline.
    heartbeat_seconds: float = field(default=30.0, validator=_seconds(1.0, _DAY))
    #: A session ends after this, whatever happens, …
    session_seconds: float = field(default=_DAY, validator=_seconds(1.0, 365 * _DAY))
    #: … and after this without a use.
    session_idle_seconds: float = field(default=8 * 3600.0, validator=_seconds(1.0, 365 * _DAY))
    #: How long a job that has ended is kept, and a deployment since its last step, once no command
    #: can change its status any more.
    job_retention_seconds: float = field(default=90 * _DAY, validator=_seconds(60.0, 3650 * _DAY))
    deployment_retention_seconds: float = field(
        default=180 * _DAY, validator=_seconds(60.0, 3650 * _DAY)
    )
    #: How long an agent that is offline or terminated is kept; one that comes back later than
    #: this registers anew.
    agent_retention_seconds: float = field(default=7 * _DAY, validator=_seconds(60.0, 3650 * _DAY))
    #: How often maintenance looks for what is due.
    sweep_seconds: float = field(default=1.0, validator=_seconds(0.01, 3600.0))
    #: How often a waiting claim reads its pool's lanes, and how its agent is, anew, at least.
    lane_refresh_seconds: float = field(default=5.0, validator=_seconds(0.1, 3600.0))
    #: How often a decision is made again after a conflict or an unavailable store.
    commit_attempts: int = 8

    def __attrs_post_init__(self) -> None:
        """Check the one setting that is a count, and those that depend on each other."""
        check_integer("commit_attempts", self.commit_attempts, least=1, most=1000)
        if self.lease_seconds > self.max_lease_seconds:
            reason = f"give at most max_lease_seconds, {self.max_lease_seconds:g}"
            raise InvalidInput("lease_seconds", self.lease_seconds, reason)
