"""Sessions of people: ``/auth``.

Only a caller with the scope ``sessions:create`` may create a session: the service that logs people
in by its own means, with an API key. A session's token never appears in a URL.
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
from cicd_core.http.wire import access_answers as answers
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
    """Create a session with at most the rights of the caller; the answer shows its token once.

    With ``cookie``, the answer also sets the cookie for a browser.
    """
    if taken := [name for name in RESERVED if name in body.metadata]:
        reason = f"the server sets {taken[0]} itself; for scopes use the field scopes"
        raise InvalidInput(f"metadata.{taken[0]}", ..., reason)
    issued = await call.plane.sessions.create(
        body.user_id,
        ttl_seconds=body.ttl_seconds,
        idle_seconds=body.idle_seconds,
        metadata={**body.metadata, **_granted(call, body.scopes)},
    )
    headers = {"set-cookie": cookie_with(issued)} if body.cookie else {}
    return Reply(value=answers.session_opened(issued), status=201, headers=headers)


def _granted(call: Call, asked_for: tuple[str, ...] | None) -> dict[str, str]:
    """Return the metadata for the scopes of a new session; by default it allows reading.

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


@TABLE.add("POST", "/validate", asked.ValidateBody, None, gives=answers.SessionChecked)
async def validate(call: Call, body: asked.ValidateBody) -> Reply:
    """Return whether a token opens a session; this counts as a use of it."""
    token = _own_token(call) if body.token is None else body.token
    try:
        session = await call.plane.sessions.validate(token)
    except SessionRejected as rejected:
        return Reply(value=answers.SessionChecked(valid=False, reason=rejected.reason))
    return Reply(value=answers.session_checked(session))


@TABLE.add("POST", "/rotate", asked.RotateBody, None, status=201, gives=_OPENED)
async def rotate(call: Call, body: asked.RotateBody) -> Reply:
    """Replace a session's token; the answer shows the new one once, and the old session ends.

    If the token came in the cookie, the answer also sets the cookie to the new one.
    """
    in_cookie = body.token is None and bearer_of(call.request) is None
    token = _own_token(call) if body.token is None else body.token
    issued = await call.plane.sessions.rotate(token)
    headers = {"set-cookie": cookie_with(issued)} if in_cookie else {}
    return Reply(value=answers.session_opened(issued), status=201, headers=headers)


@TABLE.add("POST", "/logout", asked.LogOutBody, None, gives=answers.LoggedOut)
async def log_out(call: Call, body: asked.LogOutBody) -> Reply:
    """End the session of a token; it is no error if it has already ended."""
    token = _own_token(call) if body.token is None else body.token
    await call.plane.sessions.log_out(token)
    headers = {"set-cookie": NO_COOKIE} if has_cookie(call.request) else {}
    return Reply(value=answers.LoggedOut(), headers=headers)


def _own_token(call: Call) -> str | None:
    """Return the token of a request.

    Raises:
        NotAuthenticated: it is in the cookie, which appears more than once.
        NotPermitted: it is in the cookie, and the request may come from a page of another site.
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
    """Return a page of the calling user's sessions, the newest first."""
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


@TABLE.add("POST", "/users/{user_id}/logout", Nothing, _CREATE, gives=answers.LoggedOutEverywhere)
async def log_out_everywhere(call: Call, _: Nothing) -> Reply:
    """End every session of a user, and return their number."""
    user_id, actor = call.name("user_id"), call.actor
    ended = await call.plane.sessions.log_out_everywhere(user_id, actor=actor)
    return Reply(value=answers.LoggedOutEverywhere(ended=ended))
