"""The description of the API (OpenAPI 3.1), from the table of routes and their types."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final, cast, get_args, get_origin

import msgspec
from attrs import define, field

from cicd_core.http.server.idempotency import HEADER
from cicd_core.http.server.openapi_links import add_links
from cicd_core.http.server.routing import Object
from cicd_core.http.wire.problems import PROBLEM_JSON
from cicd_core.public_json import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.http.server.routing import Route

_REFERENCES: Final = "#/components/schemas/"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_JSON: Final = "application/json"
_BYTES: Final = "application/octet-stream"
#: The parts of a stream are described in words: a schema describes a complete answer.
_STREAM: Final = "text/event-stream"
_NAME: Final = {"type": "string", "pattern": r"^(?!\.{1,2}$)[A-Za-z0-9._:/-]{1,128}$"}
#: The schemas of path parameters that are not names.
_IN_PATHS: Final[Mapping[str, Any]] = {
    "key_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "session_id": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "user_id": {"type": "string", "minLength": 1},
}
_PROBLEM: Final = {
    "type": "object",
    "title": "Problem",
    "description": "A problem (RFC 9457), with the error's own fields as extensions.",
    "properties": {
        "type": {"type": "string", "description": "Stable: programs may depend on it."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The invalid field of the request."},
    },
    "required": ["type", "title", "status", "detail"],
}


def description(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Return the description of some routes as JSON.

    Args:
        routes: the routes, in the order of the description.
        version: the version of the server.
    """
    built = _Description()
    for route in routes:
        built.add(route)
    add_links(built.paths, built.schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cicd-core",
            "version": version,
            "description": "The control plane over HTTP. A slash within a name in a path is "
            "percent-encoded.",
        },
        "paths": built.paths,
        "components": {
            "schemas": {"Problem": _PROBLEM, **dict(sorted(built.schemas.items()))},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a session token.",
                }
            },
        },
    }


@define
class _Description:
    """The description so far."""

    paths: dict[str, dict[str, Any]] = field(factory=dict[str, dict[str, Any]])
    schemas: dict[str, Any] = field(factory=dict[str, Any])

    def add(self, route: Route) -> None:
        """Describe a route."""
        said = inspect.getdoc(route.handler) or ""
        summary, _, more = said.replace("``", "`").partition("\n\n")
        operation: dict[str, Any] = {
            "operationId": _name_of(route),
            "tags": [_tag_of(route)],
            "summary": " ".join(summary.split()),
            "parameters": [*_in_path(route), *self._in_query(route), *_in_headers(route)],
            "responses": self._responses(route),
            "security": [] if route.scope is None else [{"token": []}],
        }
        if more:
            operation["description"] = more
        if route.scope is not None:
            operation["x-scope"] = route.scope.value
        if route.takes_bytes:
            schema = {"type": "string", "format": "binary"}
            operation["requestBody"] = {"required": True, "content": {_BYTES: {"schema": schema}}}
        elif route.has_body:
            schema = self._struct(route.takes)
            is_needed = any(each.required for each in msgspec.structs.fields(route.takes))
            operation["requestBody"] = {
                "required": is_needed,
                "content": {_JSON: {"schema": schema}},
            }
        self.paths.setdefault(route.path, {})[route.method.lower()] = operation

    def _in_query(self, route: Route) -> list[dict[str, Any]]:
        if route.has_body:
            return []
        (_,), components = msgspec.json.schema_components([route.takes], ref_template="{name}")
        whole = components[route.takes.__name__]
        needed = whole.get("required", [])
        return [
            {"name": name, "in": "query", "required": name in needed, "schema": _without_null(each)}
            for name, each in whole["properties"].items()
        ]

    def _responses(self, route: Route) -> dict[str, Any]:
        answer: dict[str, Any] = {"description": "The result."}
        if route.gives is not None:
            media_type = route.media_type.partition(";")[0]
            whole = {"schema": self.schema_of(route.gives)}
            answer["content"] = {media_type: {} if media_type == _STREAM else whole}
        responses = {str(route.status): answer}
        if route.may_be_empty:
            responses["204"] = {"description": "No content."}
        problem = {PROBLEM_JSON: {"schema": {"$ref": f"{_REFERENCES}Problem"}}}
        return {**responses, "default": {"description": "A refusal.", "content": problem}}

    def schema_of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of an answer's type; named types are described once."""
        if isinstance(kind, Object):
            return self._object(kind)
        if isinstance(kind, list) or get_origin(kind) is list:
            items = cast("list[object]", kind) if isinstance(kind, list) else get_args(kind)
            return {"type": "array", "items": self.schema_of(items[0])}
        if get_origin(kind) is dict:
            return {"type": "object"}
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(kind)
        schema = _moved(json_schema(kind))
        self.schemas.update(schema.pop("$defs"))
        del schema["$schema"]
        return cast("dict[str, Any]", schema)

    def _object(self, kind: Object) -> dict[str, Any]:
        own = {
            "type": "object",
            "properties": {name: self.schema_of(each) for name, each in kind.members.items()},
            "required": list(kind.members),
        }
        return own if kind.of is None else {"allOf": [self.schema_of(kind.of), own]}

    def _struct(self, kind: type[msgspec.Struct]) -> dict[str, Any]:
        (schema,), components = msgspec.json.schema_components(
            [kind], ref_template=f"{_REFERENCES}{{name}}"
        )
        self.schemas.update(components)
        return schema


def _moved(schema: Any) -> Any:
    """Return a schema whose references lead to the components."""
    if isinstance(schema, dict):
        members = cast("dict[str, Any]", schema)
        first, *others = members.get("prefixItems", [None])
        if first is not None and all(each == first for each in others):
            # Tools support few keywords for tuples, but all of them support uniform items.
            members = {name: each for name, each in members.items() if name != "prefixItems"}
            members["items"] = first
        return {
            name: each.replace("#/$defs/", _REFERENCES) if name == "$ref" else _moved(each)
            for name, each in members.items()
        }
    if isinstance(schema, list):
        return [_moved(each) for each in cast("list[object]", schema)]
    return schema


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter: an omitted one is not null in a query string."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    rest = {name: each for name, each in schema.items() if name != "anyOf"}
    if rest.get("default", ...) is None:
        del rest["default"]
    if len(kinds) == 1:
        return {**rest, **kinds[0]}
    return {**rest, "anyOf": kinds} if kinds else rest


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _IN_PATHS.get(name, _NAME)}
        for name in _PARAMETER.findall(route.path)
    ]


def _in_headers(route: Route) -> list[dict[str, Any]]:
    taken = dict(route.takes_headers)
    if route.takes_key:
        taken[HEADER] = "The same key with the same body creates nothing new."
    schema = {"type": "string", "minLength": 1}
    return [
        {"name": name, "in": "header", "description": said, "schema": schema}
        for name, said in taken.items()
    ]


def _name_of(route: Route) -> str:
    module = route.handler.__module__.rpartition(".")[2].removesuffix("_routes")
    return f"{module}.{route.handler.__name__}"


def _tag_of(route: Route) -> str:
    return route.handler.__module__.rpartition(".")[2].removesuffix("_routes")
