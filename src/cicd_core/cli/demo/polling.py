"""Polling for changes without a notification: an ended process, a new file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

Found = TypeVar("Found")


async def eventually(look: Callable[[], Awaitable[Found | None]], *, every: float = 0.05) -> Found:
    """Check at an interval until there is a result."""
    while True:
        found = await look()
        if found is not None:
            return found
        await anyio.sleep(every)
