"""What happens to a pool: it is put, whole, over the one that was there, or deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, fields

from cicd_core.errors import IllegalTransition
from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.model.checks import check_label
from cicd_core.model.event import EventDraft
from cicd_core.model.pool import Pool, PoolSpec

if TYPE_CHECKING:
    from datetime import datetime


def put(pool: Pool | None, *, spec: PoolSpec, now: datetime, by: str) -> Decision[Pool]:
    """Create a pool, or replace all of its fields but the moment of its creation.

    The same spec again changes nothing.

    Args:
        pool: the one that is there, of the same name; None: create it.
        spec: what it becomes; must be checked (:func:`cicd_core.model.pool.checked`).
        now: on the store's clock.
        by: who asked.

    Raises:
        InvalidInput: ``by`` is empty.
    """
    check_label("by", by)
    wanted = {each.name: getattr(spec, each.name) for each in fields(PoolSpec)}
    if pool is None:
        created = Pool(created_at=now, updated_at=now, **wanted)
        return Decision(created, (EventDraft("pool.created", now, _sizes(created, by)),))
    changed = sorted(name for name, value in wanted.items() if getattr(pool, name) != value)
    if not changed:
        return unchanged(pool)
    updated = evolve(pool, updated_at=now, **wanted)
    told = _sizes(updated, by) | {"changed": ", ".join(changed)}
    return Decision(updated, (EventDraft("pool.updated", now, told),))


def delete(
    pool_name: str, *, now: datetime, by: str, jobs: int, agents: int, force: bool
) -> EventDraft:
    """Return the event of a pool's deletion.

    Args:
        pool_name: the pool's.
        now: on the store's clock.
        by: who asked.
        jobs: how many of its jobs have not ended.
        agents: how many of its agents are not gone for good.
        force: delete it all the same: its jobs and agents stay as they are.

    Raises:
        IllegalTransition: it has jobs or agents.
        InvalidInput: ``by`` is empty.
    """
    check_label("by", by)
    if (jobs or agents) and not force:
        why = (
            f"jobs that have not ended: {jobs}, agents that are not gone: {agents}; end the "
            f"jobs, drain and deregister the agents, or force it"
        )
        raise IllegalTransition("pool", pool_name, "delete", "in use", ["put"], why)
    return EventDraft("pool.deleted", now, {"by": by, "jobs": jobs, "agents": agents})


def _sizes(pool: Pool, by: str) -> dict[str, str | int]:
    sizes = {"min_agents": pool.min_agents, "max_agents": pool.max_agents}
    if pool.target_agents is not None:
        sizes["target_agents"] = pool.target_agents
    return {"by": by, **sizes}
