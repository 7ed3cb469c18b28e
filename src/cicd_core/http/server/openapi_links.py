"""Links in the description of the API: what can be done with what a creation answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def add_links(paths: Mapping[str, Mapping[str, Any]], schemas: Mapping[str, Any]) -> None:
    """Add to each creation a link to each operation on what it made.

    Args:
        paths: the operations by path and method; creations among them get ``links``.
        schemas: what they refer to.
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
    """Return the name of the one parameter in an operation's path; nothing if there are several."""
    names = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
    return names if len(names) == 1 else []


def _places(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], place: str
) -> Iterator[tuple[str, str]]:
    """Yield where in an answer the members stand, by their names; two levels of them."""
    if "$ref" in schema:
        yield from _places(schemas[schema["$ref"].rpartition("/")[2]], schemas, place)
    for part in schema.get("allOf", ()):
        yield from _places(part, schemas, place)
    members = cast("Mapping[str, Any]", schema.get("properties", {}))
    for name, each in members.items():
        yield name, f"{place}/{name}"
        if not place and "$ref" in each:
            yield from _places(each, schemas, f"/{name}")
