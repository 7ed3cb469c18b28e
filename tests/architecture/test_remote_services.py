"""The client over HTTP has the services of the control plane, with the same signatures."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane
from cicd_core.entities import COLLECTIONS
from cicd_core.http.client import RemoteControlPlane
from cicd_core.store.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES = (
    "agents",
    "dashboard",
    "deployments",
    "events",
    "jobs",
    "keys",
    "maintenance",
    "pools",
    "queue",
    "sessions",
)
#: What the server does for itself, and no caller asks it for.
OF_THE_SERVER = {
    "agents.in_pool",
    "agents.present",
    "agents.require_fit",
    "keys.principal_of",
    "maintenance.run",
    "maintenance.sweep",
}


def methods(plane: object) -> Iterator[tuple[str, Any]]:
    for service in SERVICES:
        kind = getattr(plane, service).__class__
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_") and f"{service}.{name}" not in OF_THE_SERVER:
                yield f"{service}.{name}", method


NEAR = dict(methods(ControlPlane(MemoryBackend(COLLECTIONS))))
FAR = dict(methods(RemoteControlPlane("http://127.0.0.1")))


def test_the_client_has_every_method_of_every_service_and_no_other() -> None:
    assert set(FAR) == set(NEAR)


@pytest.mark.parametrize("name", sorted(NEAR))
def test_a_method_takes_and_gives_the_same_over_http(name: str) -> None:
    near, far = inspect.signature(NEAR[name]), inspect.signature(FAR[name])
    assert far == near
    assert inspect.iscoroutinefunction(FAR[name]) == inspect.iscoroutinefunction(NEAR[name])
    assert inspect.isasyncgenfunction(FAR[name]) == inspect.isasyncgenfunction(NEAR[name])
