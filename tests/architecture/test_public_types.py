"""Every type of a public field, property, parameter or answer can be imported from the top."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import cicd_core
import cicd_core.store
from cicd_core import ControlPlane
from cicd_core.entities import COLLECTIONS
from cicd_core.store.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

NAME = re.compile(r"[A-Za-z_]\w*")


def exported(package: ModuleType) -> set[object]:
    return {id(getattr(package, name)) for name in package.__all__}


def public_objects() -> list[Any]:
    """What the top exports, and the services, which a control plane gives."""
    plane = ControlPlane(MemoryBackend(COLLECTIONS))
    services: list[Any] = [
        type(each) for name, each in vars(plane).items() if not name.startswith("_")
    ]
    top: list[Any] = [getattr(cicd_core, name) for name in cicd_core.__all__]
    return [*top, *(each for each in services if each.__module__.startswith("cicd_core"))]


@cache
def imported(module: str) -> dict[str, str]:
    """The modules from which a module takes its names, for type checkers alone as well."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }


def classes_of(module: str, annotation: object) -> Iterator[type]:
    """The classes of this library that an annotation names."""
    for name in NAME.findall(str(annotation)):
        home = imported(module).get(name, module)
        if not home.startswith("cicd_core"):
            continue
        found = getattr(import_module(home), name, None)
        if inspect.isclass(found) and found.__module__.startswith("cicd_core"):
            yield found


def annotations_of(public: Any) -> Iterator[tuple[str, str, object]]:
    """The places with an annotation: where it stands, its module, and the annotation."""
    if isinstance(public, tuple):  # a constant: its annotation stands in its module
        return
    if not inspect.isclass(public):
        for name, annotation in inspect.unwrap(public).__annotations__.items():
            yield f"{public.__name__}({name})", public.__module__, annotation
        return
    for name, annotation in vars(public).get("__annotations__", {}).items():
        if not name.startswith("_"):
            yield f"{public.__name__}.{name}", public.__module__, annotation
    for name, member in vars(public).items():
        function: Any = member.fget if isinstance(member, property) else member
        function = inspect.unwrap(getattr(function, "__func__", function))
        if not name.startswith("_") and inspect.isfunction(function):
            for argument, annotation in function.__annotations__.items():
                place = f"{public.__name__}.{name}({argument})"
                yield place, public.__module__, annotation


def test_every_type_of_the_public_surface_is_exported() -> None:
    known = exported(cicd_core) | exported(cicd_core.store)
    missing = {
        f"{place}: {found.__name__}"
        for public in public_objects()
        for place, module, annotation in annotations_of(public)
        for found in classes_of(module, annotation)
        if id(found) not in known and not issubclass(found, Exception)
    }
    assert missing == set()


def test_the_walk_finds_the_types_of_fields_properties_parameters_and_answers() -> None:
    found = {
        (place, each.__name__)
        for public in public_objects()
        for place, module, annotation in annotations_of(public)
        for each in classes_of(module, annotation)
    }
    assert ("Deployment.history", "DeploymentTransition") in found
    assert ("EventPage.events(return)", "Event") in found
    assert ("DeploymentService.create(spec)", "DeploymentSpec") in found
    assert ("PoolService.scaling(return)", "ScalingSignal") in found
