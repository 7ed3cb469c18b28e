"""The application without sockets; what sockets change is tried elsewhere."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2

from cicd_core.http.server import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.applications import Starlette

    from cicd_core import ControlPlane

PREFIX = "urn:cicd-core:problem:"


@asynccontextmanager
async def calling(plane: ControlPlane, **options: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    """Call an application over a control plane; the options are those of ``create_app``."""
    async with client_of(create_app(plane, **options)) as client:
        yield client


def client_of(app: Starlette, **options: Any) -> httpx2.AsyncClient:
    """Return a client of an application, as a program on the same machine."""
    transport = httpx2.ASGITransport(app=app)
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", **options)


def problem_of(answer: httpx2.Response) -> dict[str, Any]:
    """Return the problem document of a refusal, whose type is without its prefix."""
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    document["type"] = document["type"].removeprefix(PREFIX)
    return document
