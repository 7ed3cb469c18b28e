"""Waiting for what tells nobody that it happened: a process that ended, a file that is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

Found = TypeVar("Found")


async def eventually(look: Callable[[], Awaitable[Found | None]], *, every: float = 0.05) -> Found:
    """Look, every so many seconds, until there is something to return."""
    while True:
        found = await look()
        if found is not None:
            return found
        await anyio.sleep(every)
