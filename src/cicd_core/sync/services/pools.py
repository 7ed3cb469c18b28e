"""PoolService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.pools import PoolService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from cicd_core.control_plane.pools import PoolStatus
    from cicd_core.model.pool import Pool, PoolSpec
    from cicd_core.persistence.listing import Page
    from cicd_core.queueing.scaling import ScalingSignal


class PoolService(Facade[Service]):
    """Pools. Their counts are never stored: each request counts them."""

    def put(self, spec: PoolSpec, *, actor: str = "operator", expected: Pool | None = None) -> Pool:
        """Create a pool, or replace all its fields.

        Args:
            spec: the new fields.
            actor: the caller.
            expected: the pool as you read it, to replace only that version; None: any version.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            ChangedMeanwhile: it is not the expected version.
        """
        return self._call(partial(self._service.put, spec, actor=actor, expected=expected))

    def scale(
        self,
        pool_name: str,
        target_agents: int | None,
        *,
        actor: str = "operator",
        expected: Pool | None = None,
    ) -> Pool:
        """Set a fixed size; this starts no agents.

        Args:
            pool_name: the pool.
            target_agents: within the pool's ``min_agents`` and ``max_agents``; None: as the queue
                needs.
            actor: the caller.
            expected: the pool as you read it, to change only that version; None: any version.

        Raises:
            NotFound: there is no such pool.
            InvalidInput: the size is out of these limits, or an argument is wrong.
            ChangedMeanwhile: it is not the expected version.
        """
        return self._call(
            partial(self._service.scale, pool_name, target_agents, actor=actor, expected=expected)
        )

    def get(self, pool_name: str) -> Pool:
        """Return the pool.

        Raises:
            NotFound: there is no such pool.
        """
        return self._call(partial(self._service.get, pool_name))

    def exists(self, pool_name: str) -> bool:
        """Return whether the pool has a record; jobs may be enqueued in a pool without one."""
        return self._call(partial(self._service.exists, pool_name))

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Pool]:
        """Return a page of pools, the newest first."""
        return self._call(partial(self._service.list, limit=limit, cursor=cursor))

    def delete(self, pool_name: str, *, actor: str = "operator", force: bool = False) -> None:
        """Delete an empty pool; you may create it again. An unreadable one is deleted too.

        Args:
            pool_name: the pool.
            actor: the caller.
            force: delete it even if it has jobs that have not ended, or agents that are not gone.
                They stay as they are: agents may claim, and callers may enqueue, in a pool without
                a record.

        Raises:
            NotFound: there is no such pool.
            IllegalTransition: it has jobs or agents; the error says how many.
            InvalidInput: an argument is wrong.
            TooManyConflicts: other writers kept changing it.
        """
        return self._call(partial(self._service.delete, pool_name, actor=actor, force=force))

    def status(self, pool_name: str) -> PoolStatus:
        """Return the pool with current counts of its agents and jobs, and its condition.

        Raises:
            NotFound: there is no such pool.
        """
        return self._call(partial(self._service.status, pool_name))

    def scaling(self, pool_name: str) -> ScalingSignal:
        """Return how many agents the pool should have, and why.

        Raises:
            NotFound: there is no such pool.
        """
        return self._call(partial(self._service.scaling, pool_name))
