"""API keys: ``/api/keys``. Only the answer that creates a key has its token."""

from __future__ import annotations

from typing import Final

from cicd_core.http.server.replies import created, ok, page
from cicd_core.http.server.routing import Call, Object, Reply, RouteTable
from cicd_core.http.wire import access_answers as answers
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
    """Create a key with at most the caller's rights; the answer shows its token once."""
    issued = await call.plane.keys.create(body.value(), actor=call.actor, granted_by=call.principal)
    return created(call, "/api/keys", issued.key.key_id, answers.key_made(issued))


@TABLE.add("GET", "", PageQuery, _ADMIN, gives=Page[ApiKey])
async def list_keys(call: Call, query: PageQuery) -> Reply:
    """Return a page of keys, the newest first."""
    return page(call, await call.plane.keys.list(**query.fields()))


@TABLE.add("POST", "/authenticate", asked.SecretBody, _ADMIN, gives=answers.CallerShown)
async def authenticate(call: Call, body: asked.SecretBody) -> Reply:
    """Return the principal of a token; this counts as a use of its key."""
    return Reply(value=answers.caller_shown(await call.plane.keys.authenticate(body.token)))


@TABLE.add("GET", "/{key_id}", Nothing, _ADMIN, gives=ApiKey)
async def get(call: Call, _: Nothing) -> Reply:
    """Return a key."""
    return ok(await call.plane.keys.get(call.name("key_id")))


@TABLE.add("POST", "/{key_id}/replace", asked.ReplaceKeyBody, _ADMIN, gives=_MADE)
async def replace(call: Call, body: asked.ReplaceKeyBody) -> Reply:
    """Create a key with the same rights, and let the old one expire; both are valid meanwhile."""
    issued = await call.plane.keys.replace(
        call.name("key_id"),
        overlap_seconds=body.overlap_seconds,
        actor=call.actor,
        granted_by=call.principal,
    )
    return Reply(value=answers.key_made(issued))


@TABLE.add("POST", "/{key_id}/revoke", asked.RevokeKeyBody, _ADMIN, gives=ApiKey)
async def revoke(call: Call, body: asked.RevokeKeyBody) -> Reply:
    """Revoke a key."""
    key_id, actor = call.name("key_id"), call.actor
    return ok(await call.plane.keys.revoke(key_id, actor=actor, reason=body.reason))
