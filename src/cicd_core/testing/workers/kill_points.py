"""Kills a worker at a chosen point of a call to its store.

It wraps the store, or the files that it opens, from outside and only in the worker's process.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from cicd_core.testing.passing_store import PassingStore
from cicd_core.testing.workers.forking import fork_child
from cicd_core.testing.workers.orders import ANYWHERE, KillPoint, Point

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from random import Random  # noqa: TID251 - the caller's, seeded

    from cicd_core.store.contract import Store

Answer = TypeVar("Answer")

_SIGNAL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows, any signal kills
#: The exit code of a process that killed itself, as its parent sees it.
KILLED: Final = int(_SIGNAL) if sys.platform == "win32" else -int(_SIGNAL)
#: The verbs of a store that write.
_WRITING: Final = frozenset({"commit", "claim", "renew"})
#: The longest time that the store has for a call before the kill, in seconds.
_INTO_THE_CALL: Final = 0.004


def kill_this_process() -> NoReturn:
    """Exit at once, like a process that the system kills."""
    os.kill(os.getpid(), _SIGNAL)
    raise AssertionError("this cannot be survived")  # pragma: no cover - never reached


def _fork_and_die() -> NoReturn:
    """Leave a child process with copies of all open files, and exit at once."""
    fork_child(os.getppid())
    kill_this_process()


class Fuse:
    """Counts the passings of a point, and ends the process at the chosen one."""

    def __init__(self, kill_point: KillPoint, end: Callable[[], object] | None = None) -> None:
        """Count down with each passing of the kill point; ``end`` is for tests."""
        self._kill_point = kill_point
        self._left = kill_point.countdown
        self._end = end or (_fork_and_die if kill_point.forks else kill_this_process)

    def passes(self, point: Point, verbs: Sequence[str]) -> bool:
        """Whether this is the chosen passing."""
        if point is not self._kill_point.point or self._kill_point.verb not in {None, *verbs}:
            return False
        self._left -= 1
        return self._left == 0

    def pass_by(self, point: Point, *verbs: str) -> None:
        """Pass a point while the store runs ``verbs``; the process may end here."""
        if self.passes(point, verbs):
            self._end()

    def end(self) -> None:
        """End the process."""
        self._end()


class PointedCalls:
    """Makes calls, with kill points before, during and after them."""

    def __init__(self, fuse: Fuse, random: Random) -> None:
        """Count down ``fuse``; ``random`` decides how far into a call the process gets."""
        self._fuse = fuse
        self._random = random

    async def ask(self, verb: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a call; the process may end before, during or after it."""
        self._fuse.pass_by(Point.ASKED, verb)
        if self._fuse.passes(Point.DURING, (verb,)):
            return await self._end_during(call)
        answer = await call()
        self._fuse.pass_by(Point.ANSWERED, verb)
        return answer

    async def _end_during(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """End the process during a call, at the latest before its answer arrives."""
        delay = self._random.uniform(0.0, _INTO_THE_CALL)
        threading.Timer(delay, self._fuse.end).start()
        try:
            return await call()
        finally:
            self._fuse.end()


class PointedStore(PassingStore):
    """A store whose writing verbs have kill points."""

    def __init__(self, store: Store, calls: PointedCalls) -> None:
        super().__init__(store)
        self._calls = calls

    async def ask(
        self, verb: str, function: Callable[..., Awaitable[Answer]], *arguments: Any
    ) -> Answer:
        """Call a verb; the process may end before, during or after one that writes."""
        if verb not in _WRITING:
            return await function(*arguments)
        return await self._calls.ask(verb, lambda: function(*arguments))

    def before(self, sibling: Store) -> Store:
        """Return a store with the same kill point."""
        return PointedStore(sibling, self._calls)


def arm_process(kill_point: KillPoint | None) -> None:
    """Add kill points to all SQLite files that this process opens from now on."""
    if kill_point is not None and kill_point.point not in ANYWHERE:
        # Only workers with such a file need the watcher.
        from cicd_core.testing.workers.sqlite_points import arm  # noqa: PLC0415 - see above

        arm(Fuse(kill_point))


def pointed(store: Store, kill_point: KillPoint | None, random: Random) -> Store:
    """Return a store whose use ends the process at the point of ``kill_point``."""
    if kill_point is None or kill_point.point not in ANYWHERE:
        return store
    return PointedStore(store, PointedCalls(Fuse(kill_point), random))
