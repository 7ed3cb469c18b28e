"""The commands of a pool: put (create it, or replace it as a whole), scale and delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import fields

from cicd_core.errors import ChangedMeanwhile, IllegalTransition
from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.model.checks import check_label
from cicd_core.model.event import EventDraft
from cicd_core.model.pool import Pool, PoolSpec, checked
from cicd_core.values import evolve

if TYPE_CHECKING:
    from datetime import datetime


def put(
    pool: Pool | None, *, spec: PoolSpec, now: datetime, actor: str, expected: Pool | None = None
) -> Decision[Pool]:
    """Create a pool, or replace all of its fields except the moment of its creation.

    The same spec again changes nothing.

    Args:
        pool: the existing pool of the same name; None: create it.
        spec: the new fields; must be checked (:func:`cicd_core.model.pool.checked`).
        now: on the store's clock.
        actor: who asked.
        expected: the pool as the caller read it; None: replace any pool.

    Raises:
        ChangedMeanwhile: the pool differs from ``expected``.
        InvalidInput: ``actor`` is empty.
    """
    check_label("actor", actor)
    if expected is not None and pool != expected:
        raise ChangedMeanwhile("pool", spec.pool_name)
    wanted = {field.name: getattr(spec, field.name) for field in fields(PoolSpec)}
    if pool is None:
        created = Pool(created_at=now, updated_at=now, **wanted)
        return Decision(created, (EventDraft("pool.created", now, _sizes(created, actor)),))
    changed = sorted(name for name, value in wanted.items() if getattr(pool, name) != value)
    if not changed:
        return unchanged(pool)
    updated = evolve(pool, updated_at=now, **wanted)
    details = _sizes(updated, actor) | {"changed": ", ".join(changed)}
    return Decision(updated, (EventDraft("pool.updated", now, details),))


def scale(
    pool: Pool,
    target_agents: int | None,
    *,
    now: datetime,
    actor: str,
    expected: Pool | None = None,
) -> Decision[Pool]:
    """Set the size that an operator wants, and nothing else.

    Args:
        pool: to be changed.
        target_agents: within ``min_agents`` and ``max_agents``; None: the size follows the queue.
        now: on the store's clock.
        actor: who asked.
        expected: as in :func:`put`.

    Raises:
        ChangedMeanwhile: the pool differs from ``expected``.
        InvalidInput: the size is out of these bounds, or ``actor`` is empty.
    """
    same: dict[str, Any] = {field.name: getattr(pool, field.name) for field in fields(PoolSpec)}
    wanted = evolve(PoolSpec(**same), target_agents=target_agents)
    return put(pool, spec=checked(wanted), now=now, actor=actor, expected=expected)


def delete(
    pool_name: str, *, now: datetime, actor: str, jobs: int, agents: int, force: bool
) -> EventDraft:
    """Return the event of a pool's deletion.

    Args:
        pool_name: the pool's name.
        now: on the store's clock.
        actor: who asked.
        jobs: how many of its jobs have not ended.
        agents: how many of its agents are not TERMINATED.
        force: delete it even so: its jobs and agents stay unchanged.

    Raises:
        IllegalTransition: it has jobs or agents.
        InvalidInput: ``actor`` is empty.
    """
    check_label("actor", actor)
    if (jobs or agents) and not force:
        reason = (
            f"jobs that have not ended: {jobs}, agents that are not gone: {agents}; end the "
            f"jobs, drain and deregister the agents, or use force"
        )
        raise IllegalTransition("pool", pool_name, "delete", "in use", ["put"], reason)
    return EventDraft("pool.deleted", now, {"actor": actor, "jobs": jobs, "agents": agents})


def _sizes(pool: Pool, actor: str) -> dict[str, str | int]:
    sizes = {"min_agents": pool.min_agents, "max_agents": pool.max_agents}
    if pool.target_agents is not None:
        sizes["target_agents"] = pool.target_agents
    return {"actor": actor, **sizes}
