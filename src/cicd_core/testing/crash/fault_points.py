"""How a worker kills itself at a chosen point of a call to its store.

All of it is put on from outside, in the worker's process alone: the store knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

from cicd_core.testing.crash.forking import fork_child
from cicd_core.testing.crash.plan import ANYWHERE, Bomb, Point

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from random import Random  # noqa: TID251 - the caller's, seeded

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Commit, Committed, Conflict, Record, Renewal, Renewed

Answer = TypeVar("Answer")

#: How long a call is left to the store before the kill, in seconds, at most.
_INTO_THE_CALL: Final = 0.004


def kill_this_process() -> NoReturn:
    """End at once, without a word, as a process does whose machine ran out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL can't be survived")  # pragma: no cover - nobody gets here


def _fork_and_die() -> NoReturn:
    """Leave a child behind that has a copy of every file that is open now, and end at once."""
    fork_child(os.getppid())
    kill_this_process()


class Fuse:
    """Counts how often a point is passed, and ends the process when it is time."""

    def __init__(self, bomb: Bomb, end: Callable[[], object] | None = None) -> None:
        """Burn down by one with each passing of the bomb's point; ``end`` is for tests."""
        self._bomb = bomb
        self._left = bomb.countdown
        self._end = end or (_fork_and_die if bomb.forks else kill_this_process)

    def passes(self, point: Point, verbs: Sequence[str]) -> bool:
        """Whether this passing is the one."""
        if point is not self._bomb.point or self._bomb.verb not in verbs:
            return False
        self._left -= 1
        return self._left == 0

    def pass_by(self, point: Point, *verbs: str) -> None:
        """Pass a point while the store does ``verbs``; perhaps for the last time."""
        if self.passes(point, verbs):
            self._end()

    def end(self) -> None:
        """End the process."""
        self._end()


class PointedStore:
    """A store whose writing verbs have points at which the process ends; the rest is as it was."""

    def __init__(self, store: Store, fuse: Fuse, random: Random) -> None:
        """Stand before ``store``; ``random`` says how far into a call the process gets."""
        self._store = store
        self._fuse = fuse
        self._random = random

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Commit, if the process lives so long."""
        return await self._ask("commit", lambda: self._store.commit(commits))

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim, if the process lives so long."""
        return await self._ask("claim", lambda: self._store.claim(claim))

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Renew, if the process lives so long."""
        return await self._ask("renew", lambda: self._store.renew(renewals))

    async def _ask(self, verb: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
        self._fuse.pass_by(Point.ASKED, verb)
        if self._fuse.passes(Point.DURING, (verb,)):
            return await self._end_during(call)
        answer = await call()
        self._fuse.pass_by(Point.ANSWERED, verb)
        return answer

    async def _end_during(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """End the process in the middle of a call; at its end at the latest, before it is heard."""
        delay = self._random.uniform(0.0, _INTO_THE_CALL)
        threading.Timer(delay, self._fuse.end).start()
        try:
            return await call()
        finally:
            self._fuse.end()


def pointed(store: Store, bomb: Bomb | None, random: Random) -> Store:
    """Return a store whose use ends the process at the point that the bomb names."""
    if bomb is None or bomb.point not in ANYWHERE:
        return store
    return cast("Store", PointedStore(store, Fuse(bomb), random))
