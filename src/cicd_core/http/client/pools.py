"""Pools, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core.control_plane.pools import PoolStatus
from cicd_core.errors import NotFound
from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.etags import etag_of
from cicd_core.http.wire.values import asked_to_wire, from_wire
from cicd_core.model.checks import check_kind, check_name
from cicd_core.model.pool import Pool, PoolSpec, checked
from cicd_core.persistence.listing import Page
from cicd_core.queueing.scaling import ScalingSignal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.http.client.connection import Connection


class RemotePools:
    """Pools of a server; the same methods as ``PoolService``."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def put(
        self, spec: PoolSpec, *, actor: str = "operator", expected: Pool | None = None
    ) -> Pool:
        """Create a pool, or replace all its fields.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            ChangedMeanwhile: it is not the expected version. A call with ``expected`` is not
                repeated: if its answer was lost, the pool may have a new version.
        """
        body = asked_to_wire(checked(spec))
        return await self._change("PUT", _path(body.pop("pool_name")), body, expected)

    async def scale(
        self,
        pool_name: str,
        target_agents: int | None,
        *,
        actor: str = "operator",
        expected: Pool | None = None,
    ) -> Pool:
        """Set a fixed size; this starts no agents.

        Raises:
            NotFound: there is no such pool.
            InvalidInput: the size is out of the pool's limits.
            ChangedMeanwhile: it is not the expected version, as for :meth:`put`.
        """
        body = {"target_agents": target_agents}
        return await self._change("POST", _path(pool_name, "scale"), body, expected)

    async def _change(
        self, method: str, path: str, body: Mapping[str, Any], expected: Pool | None
    ) -> Pool:
        headers: dict[str, str] = {}
        if expected is not None:
            check_kind("expected", expected, Pool)
            headers["if-match"] = etag_of(expected)
        answer = await self._connection.call(
            method, path, body, repeatable=expected is None, headers=headers
        )
        return from_wire(Pool, answer)

    async def get(self, pool_name: str) -> Pool:
        """Return the pool.

        Raises:
            NotFound: there is no such pool.
        """
        return (await self.status(pool_name)).pool

    async def exists(self, pool_name: str) -> bool:
        """Return whether the pool has a record; jobs may be enqueued in a pool without one."""
        try:
            await self.status(pool_name)
        except NotFound:
            return False
        return True

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[Pool]:
        """Return a page of pools, the newest first."""
        query = {"limit": limit, "cursor": cursor}
        return from_wire(Page[Pool], await self._connection.get(path_of("agents", "pools"), query))

    async def delete(self, pool_name: str, *, actor: str = "operator", force: bool = False) -> None:
        """Delete an empty pool, or any pool with ``force``.

        Raises:
            NotFound: there is no such pool.
            IllegalTransition: it has jobs or agents; the error says how many.
        """
        path = _path(pool_name)
        await self._connection.call("DELETE", path, query={"force": force}, repeatable=False)

    async def status(self, pool_name: str) -> PoolStatus:
        """Return the pool with current counts of its agents and jobs, and its condition.

        Raises:
            NotFound: there is no such pool.
        """
        return from_wire(PoolStatus, await self._connection.get(_path(pool_name)))

    async def scaling(self, pool_name: str) -> ScalingSignal:
        """Return how many agents the pool should have, and why.

        Raises:
            NotFound: there is no such pool.
        """
        return from_wire(ScalingSignal, await self._connection.get(_path(pool_name, "scaling")))


def _path(pool_name: str, command: str | None = None) -> str:
    name = check_name("pool_name", pool_name)
    return path_of("agents", "pools", name=name, command=command)
