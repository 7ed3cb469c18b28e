"""Waiting for what happens in another process, which tells nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable


class EngineError(Exception):
    """A server is missing, or did not do what it was asked; the message holds its own words."""


def until(come_true: Callable[[], object], say: Callable[[], str] = str) -> None:
    """Block until something is so; from a coroutine, call it in a thread.

    Raises:
        EngineError: it has not come true in half a minute; ``say`` gives the message.
    """
    end = time.monotonic() + PATIENCE
    while not come_true():
        if time.monotonic() > end:
            raise EngineError(f"not so after {PATIENCE} s: {say()}")
        time.sleep(0.005)
