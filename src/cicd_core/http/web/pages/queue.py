"""The queue of a pool by priority and age, and the dead letters by their errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.http.web.looks import clipped
from cicd_core.model.amounts import amount
from cicd_core.model.principal import Scope
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core.http.web.visit import Visit
    from cicd_core.model.job import Job

_POOLS: Final = 50
_ROWS: Final = 50
#: Number of newest dead letters that are grouped.
GROUPED: Final = 500
#: Number of groups, and of jobs in each, that are shown.
_GROUPS: Final = 25
_NAMED: Final = 5
_ERROR_SHOWN: Final = 300


async def queue(visit: Visit) -> dict[str, Any]:
    """Return the ready jobs of a pool, and the ones that are claimed next."""
    listed = await visit.plane.pools.list(limit=_POOLS)
    pools = sorted(pool.pool_name for pool in listed.items)
    chosen = visit.text("pool_name") or (pools[0] if pools else "default")
    stats = await visit.plane.queue.stats(chosen)
    ready = await visit.plane.queue.ready(chosen, limit=_ROWS)
    return {
        "pools": sorted({*pools, chosen}),
        "is_all": listed.cursor is None,
        "chosen": chosen,
        "stats": stats,
        "ready": ready,
        "priorities": ("critical", "high", "normal", "low"),
        "may_change": visit.may(Scope.JOBS_WRITE),
        "said": f"{amount(stats.ready, 'job')} ready in {chosen}",
    }


@frozen(kw_only=True)
class Group:
    """Dead letters that failed with the same error."""

    error: str
    job_type: str
    pool_name: str
    #: The newest first.
    jobs: tuple[Job, ...]

    @property
    def named(self) -> tuple[Job, ...]:
        """The jobs that are shown."""
        return self.jobs[:_NAMED]


async def dead_letters(visit: Visit) -> dict[str, Any]:
    """Return the newest dead letters by their errors, the largest group first."""
    found = await visit.plane.jobs.dead_letters(limit=GROUPED)
    groups = _grouped(found.items)
    return {
        "groups": groups[:_GROUPS],
        "more_groups": max(0, len(groups) - _GROUPS),
        "number": len(found.items),
        "is_all": found.cursor is None,
        "grouped": GROUPED,
        "may_change": visit.may(Scope.JOBS_WRITE),
        "said": amount(len(found.items), "dead letter"),
    }


def _grouped(jobs: Iterable[Job]) -> list[Group]:
    by_error: dict[tuple[str, str, str], list[Job]] = {}
    for job in jobs:
        error = clipped((job.error_message or "no message").strip(), _ERROR_SHOWN)
        by_error.setdefault((error, job.job_type, job.pool_name), []).append(job)
    groups = [
        Group(error=error, job_type=job_type, pool_name=pool_name, jobs=tuple(members))
        for (error, job_type, pool_name), members in by_error.items()
    ]
    return sorted(groups, key=lambda group: -len(group.jobs))
