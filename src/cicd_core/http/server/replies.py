"""Answers of several routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from cicd_core.http.server.routing import Reply
from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from cicd_core.http.server.routing import Call
    from cicd_core.persistence.listing import Page


def ok(value: object) -> Reply:
    """Return an answer with a value."""
    return Reply(value=to_json(value))


def created(call: Call, path: str, name: str, value: object) -> Reply:
    """Return the answer to a creation: the created value and its address.

    Args:
        call: the request.
        path: the path of the collection, from the root of the application.
        name: the name of the created entity.
        value: the value as JSON.
    """
    root = call.request.scope.get("root_path", "")
    location = f"{root}{path}/{quote(name, safe='')}"
    return Reply(value=value, status=201, headers={"location": location})


def page(call: Call, found: Page[Any]) -> Reply:
    """Return a page of a list, with a link to the next one."""
    return linked(call, to_json(found), found.cursor)


def linked(call: Call, value: object, cursor: str | None) -> Reply:
    """Return a part of a list as JSON, with a link to the next part."""
    if cursor is None:
        return Reply(value=value)
    asked = {**call.request.query_params, "cursor": cursor}
    link = f'<{call.request.url.path}?{urlencode(asked)}>; rel="next"'
    return Reply(value=value, headers={"link": link})
