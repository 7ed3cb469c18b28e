"""Waiting for work: this process's commits wake waiters at once, other processes' commits soon.

While there are waiters, one task checks every few milliseconds whether the write-ahead log has
changed. If so, it asks SQLite whether another connection has committed (``PRAGMA data_version``, a
read of shared memory), and only then checks the watches.
All stores of a process on one file share their waiters, so that a new record wakes one of the
waiters that take turns.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import CicdError
from cicd_core.store.records import Partition, Watch
from cicd_core.store.sqlite.failures import closed
from cicd_core.store.sqlite.log_watch import LogWatch
from cicd_core.store.sqlite.tables import depth_name, key_of_partition
from cicd_core.store.waiters import Waiters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    from cicd_core.store.records import Claim
    from cicd_core.store.sqlite.tables import PartitionKey

#: How often to check for other processes' commits, in seconds.
_PERIOD: Final = 0.025
#: How much longer per watch: a check of one takes a few microseconds.
_PERIOD_A_WATCH: Final = 0.0001

#: The waiters by process, file and namespace: a forked child has none.
_shared: WeakValueDictionary[tuple[int, str, int], Waiters[PartitionKey]] = WeakValueDictionary()


def waiters_of(path: Path, namespace_id: int) -> Waiters[PartitionKey]:
    """Return the waiters of a file's namespace; all stores of this process share them."""
    # Without a lock, which a fork might copy: threads that open the file at the same moment may get
    # different waiters, and then notice each other's commits as other processes do.
    return _shared.setdefault(
        (os.getpid(), os.path.realpath(path), namespace_id), Waiters(key_of_partition)
    )


class Waiting:
    """The waiters of one store, and the tasks that wake them, in its event loop."""

    def __init__(
        self,
        look: Callable[[set[Watch]], Awaitable[set[Watch]]],
        look_if_changed: Callable[[set[Watch]], Awaitable[set[Watch] | None]],
        *,
        path: Path,
        namespace_id: int,
    ) -> None:
        """Set the functions that return the true watches.

        ``look_if_changed`` checks only if there was a commit; otherwise it returns None.
        """
        self._look = look
        self._look_if_changed = look_if_changed
        self._path = path
        self._closed = False
        self._log = LogWatch(path)
        self._waiters = waiters_of(path, namespace_id)
        #: The watches of this store's own waiters.
        self._watched: dict[object, Sequence[Watch]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._looks: set[asyncio.Task[None]] = set()

    async def wait(self, watches: Sequence[Watch], seconds: float) -> bool:
        """Return whether one of the watches comes true within ``seconds``."""

        async def look() -> bool:
            return bool(await self._look(set(watches)))

        key = object()
        self._watched[key] = watches
        if self._poller is None and seconds:
            self._poller = asyncio.get_running_loop().create_task(self._poll())
        try:
            return await self._waiters.wait(
                watches, seconds, owner=self, look=look, check=self._check
            )
        finally:
            del self._watched[key]

    def tell(self, arrivals: Iterable[tuple[PartitionKey, str]]) -> None:
        """Wake the waiters for the records that have arrived."""
        for partition_key, sort in arrivals:
            self._waiters.tell(partition_key, sort)

    def claimed(self, claims: Iterable[Claim]) -> None:
        """Wake one more waiter in each partition in which these claims left a record."""
        watches = {
            Watch(Partition(claim.collection, claim.index, value), turn="")
            for claim in (claims if self._waiters.have_turns else ())
            for value in claim.partitions
            if self._waiters.claimed((claim.collection, depth_name(claim.index), value))
        }
        if watches and not self._closed:
            look = asyncio.get_running_loop().create_task(self._pass_on(watches))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)

    async def close(self) -> None:
        """End the tasks, and end each wait with an error."""
        self._closed = True
        self._waiters.wake_all(self)
        tasks = [*self._looks, *filter(None, [self._poller])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _check(self) -> None:
        if self._closed:
            raise closed(self._path)

    async def _pass_on(self, watches: set[Watch]) -> None:
        try:
            claims = self._waiters.claims
            for watch in await self._look(watches):
                self._found(watch, claims)
        except CicdError:
            return  # each waiter looks again soon, and gets the error itself

    async def _poll(self) -> None:
        try:
            while self._watched:
                await asyncio.sleep(_PERIOD + _PERIOD_A_WATCH * len(self._all()))
                # A waiter may have come and gone meanwhile.
                if self._watched and self._log.may_have_changed(monotonic_seconds()):
                    claims = self._waiters.claims
                    found = await self._look_if_changed(self._all())
                    if found is not None:
                        self._log.saw_commit()
                    for watch in found or ():
                        self._found(watch, claims)
        except CicdError:
            # Waiters may wake for nothing: their next call gets the error itself.
            self._waiters.wake_all(self)
        finally:
            self._poller = None

    def _all(self) -> set[Watch]:
        """Return the watches to check, only one for all waiters that take turns."""
        return {
            Watch(watch.partition, watch.after, None if watch.turn is None else "")
            for watches in self._watched.values()
            for watch in watches
        }

    def _found(self, watch: Watch, claims: int) -> None:
        partition_key, sort = key_of_partition(watch.partition), _least(watch)
        if watch.turn is None:
            self._waiters.announce(partition_key, sort)
        else:
            self._waiters.offer_what_is_there(partition_key, sort, claims)


def _least(watch: Watch) -> str:
    """Return the least sort value that makes a watch true."""
    return f"{watch.after or ''}\0"
