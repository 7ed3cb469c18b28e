"""The bodies and query strings of ``/api/jobs``, and of the replay of many dead letters."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from cicd_core.http.wire.requests import Asked, Instant, Name, OutcomeBody


class RecordStartBody(Asked):
    """The start of a run in an external system."""

    started_at: Instant | None = None


class RecordEndBody(Asked):
    """The end of a run in an external system; the arguments of ``jobs.record_execution``."""

    outcome: OutcomeBody
    started_at: Instant | None = None
    completed_at: Instant | None = None
    duration_seconds: float | None = None
    agent_id: Name | None = None

    def times(self) -> dict[str, Any]:
        """Return the arguments other than the outcome."""
        given = self.fields()
        del given["outcome"]
        return given


class WaitQuery(Asked):
    """Maximum time until the answer, in seconds."""

    seconds: float = 25.0


class Replayed(Struct):
    """The result for one dead letter: the job after it, or the problem of its refusal."""

    job_id: Name
    job: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None


class Replays(Struct):
    """The result for each, in the order given."""

    results: list[Replayed]
