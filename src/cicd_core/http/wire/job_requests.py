"""The bodies and query strings of ``/api/jobs``, and of the replay of many dead letters."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from cicd_core.http.wire.requests import Asked, Instant, Name, OutcomeBody


class RecordStartBody(Asked):
    """A run that began somewhere else."""

    started_at: Instant | None = None


class RecordEndBody(Asked):
    """A run that ended somewhere else; the arguments of ``jobs.record_execution``."""

    outcome: OutcomeBody
    started_at: Instant | None = None
    completed_at: Instant | None = None
    duration_seconds: float | None = None
    agent_id: Name | None = None

    def times(self) -> dict[str, Any]:
        """Return the arguments besides the outcome."""
        given = self.fields()
        del given["outcome"]
        return given


class WaitQuery(Asked):
    """How long the answer may take at most, in seconds."""

    seconds: float = 25.0


class Replayed(Struct):
    """What became of one dead letter: the job as it is now, or the problem of its refusal."""

    job_id: Name
    job: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None


class Replays(Struct):
    """What became of each, in the order given."""

    results: list[Replayed]
