"""Opening the store that a command is about, and running its work there."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from cicd_core.cli.exits import reporting
from cicd_core.cli.options import STORE_VARIABLE
from cicd_core.persistence.collections import COLLECTIONS

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane

Result = TypeVar("Result")

#: The store of those who name none.
DEFAULT_URL: Final = "sqlite:///cicd.db"


def store_url(given: str | None, *, quiet: bool = False) -> str:
    """Return the URL to open; a note on stderr says so when it is the default."""
    if given:
        return given
    if not quiet:
        sys.stderr.write(f"store: {DEFAULT_URL} (choose another by --store or {STORE_VARIABLE})\n")
    return DEFAULT_URL


@asynccontextmanager
async def opened(url: str, *, create: bool = False) -> AsyncGenerator[ControlPlane]:
    """Open a control plane that runs nothing in the background.

    Only a command that makes something makes a file that is missing: a mistyped path would look
    like an empty store to all others.

    Raises:
        InvalidInput: the URL is wrong, or there is no file and ``create`` is false.
        UnknownScheme: no store is registered for the URL's scheme.
        StoreError: the store can't be opened.
    """
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.store.registry import open_store

    async with open_store(url, create=create, collections=COLLECTIONS) as store:
        yield ControlPlane(store)


def run(
    work: Callable[[ControlPlane], Awaitable[Result]], url: str, *, create: bool = False
) -> Result:
    """Run ``work`` on the store of that URL, in an event loop of its own."""
    import anyio

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
    """Do the work of a command, and write its result: as JSON, or as ``show`` does for people.

    Raises:
        SystemExit: something went wrong, and was reported.
    """

    async def timed(plane: ControlPlane) -> tuple[Result, datetime]:
        return await work(plane), await plane_now(plane)

    with reporting(as_json=as_json):
        result, now = run(timed, store_url(store, quiet=as_json), create=create)
        write(result, show, now=now, as_json=as_json)
        return result


def write(
    result: Result, show: Callable[[Screen, Result], None], *, now: datetime, as_json: bool
) -> None:
    """Write a result to stdout: as JSON, or as ``show`` does for people."""
    if as_json:
        from cicd_core.cli.output import emit

        emit(result)
    else:
        from cicd_core.cli.screen import Screen

        show(Screen(now), result)


async def plane_now(plane: ControlPlane) -> datetime:
    """Return the store's time, which is what ages and delays are measured from."""
    return await plane.now()
