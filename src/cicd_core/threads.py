"""How one thread tells another thread's event loop to do something, on asyncio and on trio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from anyio.lowlevel import current_token

#: Takes a function of no arguments, which must neither block nor raise, to be run in the loop.
#: Safe to call from any thread, the loop's own too. False: the loop has ended, and never runs it.
RunSoon = Callable[[Callable[[], object]], bool]


class _TrioToken(Protocol):
    def run_sync_soon(self, sync_fn: Callable[[], object]) -> None: ...


def run_soon_here() -> RunSoon:
    """Return a function that hands work to the event loop that runs here.

    The functions that it is given run in the order given, soon, in the loop's thread.

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
        hand_over = token.call_soon_threadsafe
    else:
        hand_over = cast("_TrioToken", token).run_sync_soon

    def run_soon(work: Callable[[], object]) -> bool:
        try:
            hand_over(work)
        except RuntimeError:  # what both say of a loop that is closed
            return False
        return True

    return run_soon
