"""The types of events in the log; ``docs/reference/events.md`` explains each of them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from cicd_core.errors import InvalidInput

EVENT_TYPES: Final = (
    "agent.draining",
    "agent.offline",
    "agent.registered",
    "agent.status_changed",
    "agent.terminated",
    "deployment.created",
    "deployment.failed",
    "deployment.live",
    "deployment.metrics",
    "deployment.production_started",
    "deployment.rolled_back",
    "deployment.staged",
    "deployment.staging_started",
    "job.cancel_requested",
    "job.cancelled",
    "job.claimed",
    "job.created",
    "job.dead_lettered",
    "job.enqueued",
    "job.errored",
    "job.failed",
    "job.lease_expired",
    "job.progress",
    "job.promoted",
    "job.released",
    "job.replayed",
    "job.reprioritised",
    "job.retried",
    "job.started",
    "job.succeeded",
    "job.timed_out",
    "key.created",
    "key.replaced",
    "key.revoked",
    "pool.created",
    "pool.deleted",
    "pool.updated",
    "session.created",
    "session.expired",
    "session.logged_out",
)


def check_event_type(field: str, pattern: object) -> str:
    """Return ``pattern``, a type or a glob such as ``job.*`` that some type matches.

    Raises:
        InvalidInput: it is not a text, or no type matches: a reader would wait forever.
    """
    if not isinstance(pattern, str):
        raise InvalidInput(field, pattern, "give a string, such as 'job.*'")
    if not any(fnmatchcase(name, pattern) for name in EVENT_TYPES):
        kind = pattern.partition(".")[0]
        near = [name for name in EVENT_TYPES if name.startswith(f"{kind}.")] or EVENT_TYPES
        raise InvalidInput(field, pattern, f"no such event type: give one of {', '.join(near)}")
    return pattern
