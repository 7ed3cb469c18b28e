"""Pools of agents: ``/api/agents/pools``."""

from __future__ import annotations

from typing import Final

from cicd_core.control_plane.pools import PoolStatus
from cicd_core.errors import ChangedMeanwhile, NotFound
from cicd_core.http.server.replies import ok, page
from cicd_core.http.server.routing import Call, Reply, RouteTable
from cicd_core.http.wire import requests as asked
from cicd_core.http.wire.etags import etag_of, is_tagged
from cicd_core.model.pool import Pool
from cicd_core.model.principal import Scope
from cicd_core.persistence.listing import Page
from cicd_core.public_json import to_json
from cicd_core.queueing.scaling import ScalingSignal

TABLE: Final = RouteTable("/api/agents/pools")
_TAGS: Final = {"If-Match": "The `ETag` of the pool to change, or several; `*`: any that exists."}


@TABLE.add("GET", "", asked.PageQuery, Scope.AGENTS_READ, gives=Page[Pool])
async def list_pools(call: Call, query: asked.PageQuery) -> Reply:
    """Return a page of pools, the newest first."""
    return page(call, await call.plane.pools.list(**query.fields()))


@TABLE.add("GET", "/{pool_name}", asked.Nothing, Scope.AGENTS_READ, gives=PoolStatus)
async def get_pool(call: Call, _: asked.Nothing) -> Reply:
    """Return a pool with its agents, jobs and condition; ``ETag`` is that of the pool."""
    status = await call.plane.pools.status(call.name("pool_name"))
    return _tagged(to_json(status), status.pool)


@TABLE.add(
    "PUT", "/{pool_name}", asked.PoolBody, Scope.AGENTS_ADMIN, gives=Pool, takes_headers=_TAGS
)
async def put_pool(call: Call, body: asked.PoolBody) -> Reply:
    """Create a pool, or replace all its fields; ``If-Match`` replaces only that version."""
    name = call.name("pool_name")
    expected = await _expected(call, name)
    put = await call.plane.pools.put(body.value(name), actor=call.actor, expected=expected)
    return _tagged(to_json(put), put)


@TABLE.add("DELETE", "/{pool_name}", asked.DeletePoolQuery, Scope.AGENTS_ADMIN, status=204)
async def delete_pool(call: Call, query: asked.DeletePoolQuery) -> Reply:
    """Delete an empty pool, or any pool with ``force``."""
    name, actor = call.name("pool_name"), call.actor
    await call.plane.pools.delete(name, actor=actor, force=query.force)
    return Reply()


@TABLE.add(
    "POST",
    "/{pool_name}/scale",
    asked.ScaleBody,
    Scope.AGENTS_ADMIN,
    gives=Pool,
    takes_headers=_TAGS,
)
async def scale(call: Call, body: asked.ScaleBody) -> Reply:
    """Set a fixed size within the pool's limits; this starts no agents."""
    name, actor = call.name("pool_name"), call.actor
    expected = await _expected(call, name)
    scaled = await call.plane.pools.scale(name, body.target_agents, actor=actor, expected=expected)
    return _tagged(to_json(scaled), scaled)


def _tagged(value: object, pool: Pool) -> Reply:
    """Return an answer with the entity tag of its pool."""
    return Reply(value=value, headers={"etag": etag_of(pool)})


async def _expected(call: Call, name: str) -> Pool | None:
    """Return the version of the pool that a request expects; None: any version.

    Raises:
        ChangedMeanwhile: the current version is not the one in ``If-Match``.
    """
    wanted = call.request.headers.get("if-match")
    if wanted is None:
        return None
    try:
        pool = await call.plane.pools.get(name)
    except NotFound:
        raise ChangedMeanwhile("pool", name) from None
    if not is_tagged(pool, wanted):
        raise ChangedMeanwhile("pool", name)
    return pool  # the service checks the version again when it writes


@TABLE.add("GET", "/{pool_name}/scaling", asked.Nothing, Scope.AGENTS_READ, gives=ScalingSignal)
async def scaling(call: Call, _: asked.Nothing) -> Reply:
    """Return how many agents the pool should have, and why."""
    return ok(await call.plane.pools.scaling(call.name("pool_name")))
