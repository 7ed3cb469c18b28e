"""How long a job's lease may last, and whether its holder lived up to the end of it.

A lease's own limit is the one place where both are kept: ``limit`` lies ``timeout_seconds`` and
``grace_seconds`` after the start. So a holder that gave a sign of life in the last
``grace_seconds`` before the limit was alive when its time was up, whatever the lease's length is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from cicd_core.persistence.mappings import longest_lease, micros

if TYPE_CHECKING:
    from cicd_core.model.job import Job
    from cicd_core.settings import Settings
    from cicd_core.store.records import Lease


def lease_of_start(held: Lease, job: Job, settings: Settings, *, seconds: float, now: int) -> Lease:
    """Return the lease of a job that starts now (µs, steady) and lasts ``seconds`` at first."""
    limit = max(held.limit, now + longest_lease(job, settings))
    expires = max(held.expires, min(now + micros(seconds), limit))
    return evolve(held, renewed=max(held.renewed, now), expires=expires, limit=limit)


def outlived_timeout(lease: Lease, settings: Settings) -> bool:
    """Whether the holder was heard when the job's ``timeout_seconds`` had passed."""
    return lease.renewed >= lease.limit - micros(settings.grace_seconds)
