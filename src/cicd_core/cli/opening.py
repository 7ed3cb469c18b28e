"""Opens the store of a command, and runs the command's work."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar, cast

from cicd_core.cli.exits import reporting
from cicd_core.entities import COLLECTIONS
from cicd_core.errors import InvalidInput, UnsupportedCapability
from cicd_core.store.default import DEFAULT_URL, STORE_VARIABLE

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.http.client import RemoteControlPlane

Result = TypeVar("Result")


def store_url(given: str | None, *, quiet: bool = False) -> str:
    """Return the URL to open; if it is the default, a note on stderr says so."""
    if given:
        return given
    if not quiet:
        sys.stderr.write(f"store: {DEFAULT_URL} (--store or {STORE_VARIABLE} set another)\n")
    return DEFAULT_URL


@asynccontextmanager
async def opened(url: str, *, create: bool = False) -> AsyncGenerator[ControlPlane]:
    """Open a control plane without background tasks; an HTTP URL opens that of a server.

    Only a command that creates something creates a missing file: to all others, a mistyped path
    would look like an empty store.

    Raises:
        InvalidInput: the URL is wrong, or there is no file and ``create`` is false.
        UnknownScheme: no store is registered for the URL's scheme.
        StoreError: the store cannot be opened.
    """
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.store.registry import open_store

    if url.startswith(("http://", "https://")):
        async with far_plane(url) as far:
            yield cast("ControlPlane", far)  # it has the same services
        return
    async with open_store(url, create=create, collections=COLLECTIONS) as store:
        yield ControlPlane(store)


def far_plane(url: str) -> RemoteControlPlane:
    """Return the control plane of a server; its key is in ``CICD_KEY``.

    Raises:
        InvalidInput: it is not an HTTP URL.
        UnsupportedCapability: the extra ``http`` is not installed.
    """
    try:
        from cicd_core.http.client import RemoteControlPlane
    except ModuleNotFoundError as missing:
        hint = f"{missing.name} is not installed; run pip install 'cicd-core[http]'"
        raise UnsupportedCapability(hint) from missing
    return RemoteControlPlane(url, os.environ.get("CICD_KEY") or None)


def run(
    work: Callable[[ControlPlane], Awaitable[Result]], url: str, *, create: bool = False
) -> Result:
    """Run ``work`` on the store of that URL, in a new event loop.

    Raises:
        InvalidInput: the store is in memory, so it would exist only during this command.
    """
    import anyio

    if url.startswith("memory:"):
        hint = "it ends with this command: give a permanent store, such as sqlite:///ci.db"
        raise InvalidInput("store", url, hint)

    async def whole() -> Result:
        async with opened(url, create=create) as plane:
            return await work(plane)

    return anyio.run(whole)


def answer(
    work: Callable[[ControlPlane], Awaitable[Result]],
    show: Callable[[Screen, Result], None],
    *,
    store: str | None,
    as_json: bool,
    create: bool = False,
) -> Result:
    """Run the work of a command, and write its result: as JSON, or with ``show`` for people.

    Raises:
        SystemExit: the work failed, and the error was reported.
    """

    async def timed(plane: ControlPlane) -> tuple[Result, datetime]:
        return await work(plane), await plane_now(plane)

    with reporting(as_json=as_json):
        url = store_url(store, quiet=as_json)
        result, now = run(timed, url, create=create)
        write(result, show, now=now, as_json=as_json)
        return result


def write(
    result: Result, show: Callable[[Screen, Result], None], *, now: datetime, as_json: bool
) -> None:
    """Write a result to stdout: as JSON, or with ``show`` for people."""
    if as_json:
        from cicd_core.cli.output import emit

        emit(result)
    else:
        from cicd_core.cli.screen import Screen

        show(Screen(now), result)


async def plane_now(plane: ControlPlane) -> datetime:
    """Return the store's time, the base of ages and delays."""
    return await plane.now()
