"""Links in the description of the API: from a creation to the operations on its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def add_links(paths: Mapping[str, Mapping[str, Any]], schemas: Mapping[str, Any]) -> None:
    """Add links to each creation, one for each operation on the created entity.

    Args:
        paths: the operations by path and method; creations among them get ``links``.
        schemas: the schemas that they reference.
    """
    operations = [each for methods in paths.values() for each in methods.values()]
    for made in operations:
        answer = made["responses"].get("201")
        if answer is None:
            continue
        schema = answer["content"]["application/json"]["schema"]
        places = dict(_places(schema, schemas, ""))
        links = {
            each["operationId"]: {
                "operationId": each["operationId"],
                "parameters": {f"path.{name}": f"$response.body#{places[name]}"},
            }
            for each in operations
            for name in _only_name(each)
            if name in places
        }
        if links:
            answer["links"] = links


def _only_name(operation: Mapping[str, Any]) -> list[str]:
    """Return the name of the only parameter in an operation's path; none if there are several."""
    names = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
    return names if len(names) == 1 else []


def _places(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], place: str
) -> Iterator[tuple[str, str]]:
    """Yield the names of an answer's members, with their JSON pointers, on two levels."""
    if "$ref" in schema:
        yield from _places(schemas[schema["$ref"].rpartition("/")[2]], schemas, place)
    for part in schema.get("allOf", ()):
        yield from _places(part, schemas, place)
    members = cast("Mapping[str, Any]", schema.get("properties", {}))
    for name, each in members.items():
        yield name, f"{place}/{name}"
        if not place and "$ref" in each:
            yield from _places(each, schemas, f"/{name}")
