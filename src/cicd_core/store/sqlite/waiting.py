"""Those who wait for work: told at once by this process's own commits, and soon by others'.

While somebody waits, one task asks SQLite every few milliseconds whether any other connection has
committed (``PRAGMA data_version``, a read of shared memory), and only then looks at the watches.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import move_on_after

from cicd_core.errors import CicdError
from cicd_core.store.sqlite.failures import closed
from cicd_core.store.sqlite.tables import place_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from cicd_core.store.records import Watch
    from cicd_core.store.sqlite.tables import Place

#: How often to ask for other processes' commits, in seconds.
_PERIOD: Final = 0.025
#: How much longer for each watch: to look at one takes a few microseconds.
_PERIOD_A_WATCH: Final = 0.0001


class Waiting:
    """Who waits for what, in one event loop."""

    def __init__(
        self,
        look: Callable[[set[Watch]], Awaitable[set[Watch]]],
        look_if_changed: Callable[[set[Watch]], Awaitable[set[Watch]]],
        *,
        path: Path,
    ) -> None:
        """Take what tells the true watches; the second looks only if anybody has committed."""
        self._look = look
        self._look_if_changed = look_if_changed
        self._path = path
        self._closed = False
        self._waiters: dict[asyncio.Future[None], Sequence[Watch]] = {}
        #: For each partition who waits there, and above which sort value.
        self._bounds: dict[Place, dict[asyncio.Future[None], str]] = {}
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, watches: Sequence[Watch], seconds: float) -> bool:
        """Return whether one of the watches has come true within so many seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._add(future, watches)  # before it looks, so that no commit falls in between
        try:
            if await self._look(set(watches)):
                return True
            if self._poller is None and not future.done():
                self._poller = loop.create_task(self._poll())
            with move_on_after(seconds):
                await future
            if self._closed:
                raise closed(self._path)
            return future.done() and not future.cancelled()
        finally:
            self._remove(future, watches)

    def tell(self, arrivals: Mapping[Place, str]) -> None:
        """Wake those who wait for a record that has come in."""
        for place, sort in arrivals.items():
            for future, bound in self._bounds.get(place, {}).items():
                if sort > bound and not future.done():
                    future.set_result(None)

    async def close(self) -> None:
        """End the task, and all waiting with an error each."""
        self._closed = True
        self._wake(lambda _: True)
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])

    async def _poll(self) -> None:
        try:
            while self._waiters:
                await asyncio.sleep(_PERIOD + _PERIOD_A_WATCH * len(self._watches()))
                if self._waiters:  # somebody may have come and gone meanwhile
                    true = await self._look_if_changed(self._watches())
                    self._wake(partial(_is_met, true))
        except CicdError:
            # Those who wait may wake for nothing: what they ask next meets the error itself.
            self._wake(lambda _: True)
        finally:
            self._poller = None

    def _watches(self) -> set[Watch]:
        return {watch for watches in self._waiters.values() for watch in watches}

    def _wake(self, is_met: Callable[[Sequence[Watch]], bool]) -> None:
        for future, watches in self._waiters.items():
            if not future.done() and is_met(watches):
                future.set_result(None)

    def _add(self, future: asyncio.Future[None], watches: Iterable[Watch]) -> None:
        self._waiters[future] = tuple(watches)
        for watch in watches:
            bounds = self._bounds.setdefault(place_of(watch.partition), {})
            # Every sort value is above the empty one; of two watches the wider one counts.
            bounds[future] = min(watch.after or "", bounds.get(future, watch.after or ""))

    def _remove(self, future: asyncio.Future[None], watches: Iterable[Watch]) -> None:
        del self._waiters[future]
        for place in {place_of(watch.partition) for watch in watches}:
            bounds = self._bounds[place]
            del bounds[future]
            if not bounds:
                del self._bounds[place]


def _is_met(true: set[Watch], watches: Sequence[Watch]) -> bool:
    return not true.isdisjoint(watches)
