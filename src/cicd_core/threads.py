"""Runs functions in another thread's event loop, on asyncio and trio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Protocol, cast

from anyio.lowlevel import current_token

try:  # if it is installed, anyio uses it to detect the event loop
    from sniffio import current_async_library_cvar
except ModuleNotFoundError:
    _library: ContextVar[str | None] | None = None
else:
    _library = current_async_library_cvar

#: Runs a function without arguments, which must neither block nor raise, in the loop. It may be
#: called from any thread, even the loop's own. False: the loop has ended, and will not run it.
RunSoon = Callable[[Callable[[], object]], bool]


class _TrioToken(Protocol):
    def run_sync_soon(self, sync_fn: Callable[[], object]) -> None: ...


def run_soon_here() -> RunSoon:
    """Return a function that runs work in the current event loop.

    The functions that it gets run soon, in the order given, in the loop's thread. They may use
    anyio: start a task, create an event, cancel a scope.

    Raises:
        anyio.NoEventLoopError: no event loop runs in this thread.

    Example:
        An event of the loop, set by a thread::

            done = anyio.Event()
            threading.Thread(target=run_soon_here(), args=(done.set,)).start()
            await done.wait()
    """
    token = current_token().native_token
    hand_over: Callable[[Callable[[], object]], object]
    if isinstance(token, asyncio.AbstractEventLoop):
        hand_over = partial(_hand_over, token)
    else:
        hand_over = cast("_TrioToken", token).run_sync_soon

    def run_soon(work: Callable[[], object]) -> bool:
        try:
            hand_over(work)
        except RuntimeError:  # both raise this for a closed loop
            return False
        return True

    return run_soon


def _hand_over(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
    loop.call_soon_threadsafe(work, context=_context())


def _context() -> Context:
    """Return the caller's context, in which sniffio detects asyncio even outside its tasks."""
    context = copy_context()
    if _library is not None:
        context.run(_library.set, "asyncio")
    return context
