"""Limits of a job's lease, and whether its holder was alive at its end.

The lease's own limit has both: ``limit`` is ``timeout_seconds`` plus ``grace_seconds`` after the
start. So a holder that renewed in the last ``grace_seconds`` before the limit was alive at its
timeout, whatever the length of the lease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.instants import micros
from cicd_core.persistence.mappings import longest_lease
from cicd_core.store.semantics import extended
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.model.job import Job
    from cicd_core.settings import Settings
    from cicd_core.store.records import Lease


def lease_of_start(held: Lease, job: Job, settings: Settings, *, seconds: float, now: int) -> Lease:
    """Return the lease, ``seconds`` long at first, of a job that starts now (µs, steady)."""
    limit = max(held.limit, now + longest_lease(job, settings))
    return extended(evolve(held, limit=limit), micros(seconds), now)


def outlived_timeout(lease: Lease, settings: Settings) -> bool:
    """Whether the holder renewed after the job's ``timeout_seconds`` had passed."""
    return lease.renewed >= lease.limit - micros(settings.grace_seconds)
