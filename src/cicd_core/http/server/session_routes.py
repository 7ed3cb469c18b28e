"""Sessions of people: ``/auth``.

A session is opened only by a caller that may do so: the service that logs people in by means of its
own, and that holds an API key with the scope ``sessions:create``. The token of a session never
stands in a URL.
"""

from __future__ import annotations

from typing import Final

from cicd_core.errors import InvalidInput, SessionRejected
from cicd_core.http.server.replies import page
from cicd_core.http.server.routing import Call, Object, Reply, RouteTable
from cicd_core.http.server.session_access import (
    NO_COOKIE,
    READING,
    RESERVED,
    SCOPES,
    bearer_of,
    cookie_of,
    cookie_with,
    has_cookie,
    require_own_page,
)
from cicd_core.http.wire import access_answers as told
from cicd_core.http.wire import access_requests as asked
from cicd_core.http.wire.requests import Nothing, PageQuery
from cicd_core.model.choices import check_choice
from cicd_core.model.principal import NotAuthenticated, Scope
from cicd_core.model.session import Session
from cicd_core.persistence.listing import Page

TABLE: Final = RouteTable("/auth")
_CREATE: Final = Scope.SESSIONS_CREATE
_OPENED: Final = Object({"session": Session, "token": str})


@TABLE.add("POST", "/session", asked.SessionBody, _CREATE, status=201, gives=_OPENED)
async def create(call: Call, body: asked.SessionBody) -> Reply:
    """Open a session, which allows no more than its maker's key; the answer shows its token once.

    With ``cookie`` the answer sets the cookie as well, for a browser.
    """
    if taken := [name for name in RESERVED if name in body.metadata]:
        reason = f"the server itself says {taken[0]}; for scopes there is the field scopes"
        raise InvalidInput(f"metadata.{taken[0]}", ..., reason)
    issued = await call.plane.sessions.create(
        body.user_id,
        ttl_seconds=body.ttl_seconds,
        idle_seconds=body.idle_seconds,
        metadata={**body.metadata, **_granted(call, body.scopes)},
    )
    headers = {"set-cookie": cookie_with(issued)} if body.cookie else {}
    return Reply(value=told.session_opened(issued), status=201, headers=headers)


def _granted(call: Call, asked_for: tuple[str, ...] | None) -> dict[str, str]:
    """Return what a new session's metadata says of its scopes; without a word it allows reading.

    Raises:
        InvalidInput: there is no such scope.
        NotPermitted: the caller lacks one of them.
    """
    if asked_for is None:
        if call.principal.scopes >= READING:
            return {}
        scopes = READING & call.principal.scopes
    else:
        scopes = frozenset(check_choice("scopes", each, Scope) for each in asked_for)
    for scope in sorted(scopes):
        call.require(scope)
    return {SCOPES: " ".join(sorted(scopes))}


@TABLE.add("POST", "/validate", asked.ValidateBody, None, gives=told.SessionChecked)
async def validate(call: Call, body: asked.ValidateBody) -> Reply:
    """Return whether a token opens a session; this counts as a use of it."""
    token = _own_token(call) if body.token is None else body.token
    try:
        session = await call.plane.sessions.validate(token)
    except SessionRejected as rejected:
        return Reply(value=told.SessionChecked(valid=False, reason=rejected.reason))
    return Reply(value=told.session_checked(session))


@TABLE.add("POST", "/rotate", asked.RotateBody, None, status=201, gives=_OPENED)
async def rotate(call: Call, body: asked.RotateBody) -> Reply:
    """Give a session another token, which the answer shows once, and end the old one.

    A session that was shown in the cookie gets its new token there too.
    """
    in_cookie = body.token is None and bearer_of(call.request) is None
    token = _own_token(call) if body.token is None else body.token
    issued = await call.plane.sessions.rotate(token)
    headers = {"set-cookie": cookie_with(issued)} if in_cookie else {}
    return Reply(value=told.session_opened(issued), status=201, headers=headers)


@TABLE.add("POST", "/logout", asked.LogOutBody, None, gives=told.LoggedOut)
async def log_out(call: Call, body: asked.LogOutBody) -> Reply:
    """End the session that a token opens; one that has ended already is fine."""
    token = _own_token(call) if body.token is None else body.token
    await call.plane.sessions.log_out(token)
    headers = {"set-cookie": NO_COOKIE} if has_cookie(call.request) else {}
    return Reply(value=told.LoggedOut(), headers=headers)


def _own_token(call: Call) -> str | None:
    """Return the token that a request shows.

    Raises:
        NotAuthenticated: it is in the cookie, which is there more than once.
        NotPermitted: it is in the cookie, and the request may come from another site's page.
    """
    token = bearer_of(call.request)
    if token is not None:
        return token
    require_own_page(call.request)
    return cookie_of(call.request)


@TABLE.add("GET", "/sessions", asked.SessionsQuery, _CREATE, gives=Page[Session])
async def list_sessions(call: Call, query: asked.SessionsQuery) -> Reply:
    """Return a page of a user's sessions, the newest first."""
    return page(call, await call.plane.sessions.list(**query.fields()))


@TABLE.add("GET", "/sessions/own", PageQuery, None, gives=Page[Session])
async def list_own_sessions(call: Call, query: PageQuery) -> Reply:
    """Return a page of the sessions of the caller, who shows one of them, the newest first."""
    try:
        session = await call.plane.sessions.validate(_own_token(call))
    except SessionRejected as rejected:
        raise NotAuthenticated(rejected.reason) from rejected
    return page(call, await call.plane.sessions.list(session.user_id, **query.fields()))


@TABLE.add("DELETE", "/sessions/{session_id}", Nothing, _CREATE, status=204)
async def revoke(call: Call, _: Nothing) -> Reply:
    """End a session by its id."""
    await call.plane.sessions.revoke(call.name("session_id"), actor=call.actor)
    return Reply()


@TABLE.add("POST", "/users/{user_id}/logout", Nothing, _CREATE, gives=told.LoggedOutEverywhere)
async def log_out_everywhere(call: Call, _: Nothing) -> Reply:
    """End every session of a user, and return how many there were."""
    user_id, actor = call.name("user_id"), call.actor
    ended = await call.plane.sessions.log_out_everywhere(user_id, actor=actor)
    return Reply(value=told.LoggedOutEverywhere(ended=ended))
