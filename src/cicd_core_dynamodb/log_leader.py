"""Elects the process that updates the log without readers: now and then one of all that write."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import CicdError
from cicd_core.model.instants import SECOND
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import number, shown_number, text
from cicd_core_dynamodb.tables import JOURNAL, PLACE_KEY, STREAM_KEY, TTL_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.ids import IdSource
    from cicd_core_dynamodb.calls import Calls, Item

_log = logging.getLogger(__name__)

#: About how many seconds lie between two questions of a process, and between two updates.
EVERY: Final = 60.0
#: The attribute with the time of the last update (µs), and how long (s) it is kept.
_DONE: Final = "A"
_KEPT: Final = 7 * 86400


class Tender:
    """Does the work in the background: no commit waits for it."""

    def __init__(self, leader: LogLeader, work: Callable[[], Awaitable[None]]) -> None:
        self._leader = leader
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Start the work if it is time to ask for a turn, and no work is under way."""
        if self._leader.is_due and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._tend())

    async def finished(self) -> None:
        """Wait for a running update."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    async def end(self) -> None:
        """Stop a running update: any other process may continue it."""
        if self._task is not None:
            self._task.cancel()
            await self.finished()

    async def _tend(self) -> None:
        try:
            if await self._leader.is_elected():
                await self._work()
        except CicdError as failed:  # the next leader does this
            _log.warning("the log was not updated: %s", failed)


class LogLeader:
    """The election of the process that updates the log of one namespace."""

    def __init__(self, calls: Calls, ids: IdSource, namespace: str) -> None:
        """Ask for the first time about a minute from now."""
        self._calls = calls
        self._ids = ids
        self._key: Item = {STREAM_KEY: text(f"{namespace}|t|0"), PLACE_KEY: text("-")}
        self._asked = monotonic_seconds()
        self._pause = self._next_pause()

    @property
    def is_due(self) -> bool:
        """Whether it is time to ask again. Cost: none."""
        return monotonic_seconds() - self._asked >= self._pause

    async def is_elected(self) -> bool:
        """Whether this process should do the work now; then no other process does for a while.

        Cost: half a read unit once a minute; a write unit for the leader.
        """
        if not self.is_due:
            return False
        self._asked, self._pause = monotonic_seconds(), self._next_pause()
        return await self._take()

    async def _take(self) -> bool:
        table = self._calls.table(JOURNAL.name)
        answer = await self._calls("get_item", TableName=table, Key=self._key)
        found: Item = answer.get("Item", {})
        before = shown_number(found, _DONE) or 0
        now = (await self._calls.now()).micros
        if now - before < EVERY * SECOND:
            return False
        put = Expression()
        if _DONE in found:
            put.require("{a} = {old}", a=_DONE, old=found[_DONE])
        else:
            put.require("attribute_not_exists({a})", a=_DONE)
        item: Item = {
            **self._key,
            _DONE: number(now),
            TTL_ATTRIBUTE: number(now // SECOND + _KEPT),
        }
        try:
            await self._calls("put_item", TableName=table, Item=item, **put.condition_parameters())
        except ConditionFailed:
            return False
        return True

    def _next_pause(self) -> float:
        return EVERY * (0.5 + self._ids.jitter())
