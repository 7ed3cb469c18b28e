"""API keys: ``/api/keys``. A token stands in the answer that makes it, and in no other."""

from __future__ import annotations

from typing import Final

from cicd_core.http.server.replies import created, ok, page
from cicd_core.http.server.routing import Call, Object, Reply, RouteTable
from cicd_core.http.wire import access_answers as told
from cicd_core.http.wire import access_requests as asked
from cicd_core.http.wire.requests import Nothing, PageQuery
from cicd_core.keys.model import ApiKey
from cicd_core.model.principal import Scope
from cicd_core.persistence.listing import Page

TABLE: Final = RouteTable("/api/keys")
_ADMIN: Final = Scope.KEYS_ADMIN
_MADE: Final = Object({"key": ApiKey, "token": str})


@TABLE.add("POST", "", asked.KeyBody, _ADMIN, status=201, gives=_MADE)
async def create(call: Call, body: asked.KeyBody) -> Reply:
    """Make a key, which allows no more than its maker's; the answer shows its token once."""
    issued = await call.plane.keys.create(body.value(), actor=call.actor, granted_by=call.principal)
    return created(call, "/api/keys", issued.key.key_id, told.key_made(issued))


@TABLE.add("GET", "", PageQuery, _ADMIN, gives=Page[ApiKey])
async def list_keys(call: Call, query: PageQuery) -> Reply:
    """Return a page of keys, the newest first."""
    return page(call, await call.plane.keys.list(**query.fields()))


@TABLE.add("POST", "/authenticate", asked.SecretBody, _ADMIN, gives=told.CallerShown)
async def authenticate(call: Call, body: asked.SecretBody) -> Reply:
    """Return whom a token stands for; this counts as a use of its key."""
    return Reply(value=told.caller_shown(await call.plane.keys.authenticate(body.token)))


@TABLE.add("GET", "/{key_id}", Nothing, _ADMIN, gives=ApiKey)
async def get(call: Call, _: Nothing) -> Reply:
    """Return a key."""
    return ok(await call.plane.keys.get(call.name("key_id")))


@TABLE.add("POST", "/{key_id}/replace", asked.ReplaceKeyBody, _ADMIN, gives=_MADE)
async def replace(call: Call, body: asked.ReplaceKeyBody) -> Reply:
    """Make a key that allows the same, and let the old one end; both are valid meanwhile."""
    issued = await call.plane.keys.replace(
        call.name("key_id"),
        overlap_seconds=body.overlap_seconds,
        actor=call.actor,
        granted_by=call.principal,
    )
    return Reply(value=told.key_made(issued))


@TABLE.add("POST", "/{key_id}/revoke", asked.RevokeKeyBody, _ADMIN, gives=ApiKey)
async def revoke(call: Call, body: asked.RevokeKeyBody) -> Reply:
    """End a key for good."""
    key_id, actor = call.name("key_id"), call.actor
    return ok(await call.plane.keys.revoke(key_id, actor=actor, reason=body.reason))
