"""Who tends the log where nobody reads it: once in a while one of all processes that write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.clock import monotonic_seconds
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import number, optional_number, text
from cicd_core_dynamodb.tables import JOURNAL, PLACE_KEY, STREAM_KEY, TTL_ATTRIBUTE

if TYPE_CHECKING:
    from cicd_core.ids import IdSource
    from cicd_core_dynamodb.calls import Calls, Item

#: About how many seconds lie between two times, of a process that asks and of all of them.
EVERY: Final = 60.0
#: The attribute that says when it was done last (µs); and how long (s) that is kept.
_DONE: Final = "A"
_KEPT: Final = 7 * 86400
_MICROS: Final = 1_000_000


class Duty:
    """The duty of one namespace."""

    def __init__(self, calls: Calls, ids: IdSource, namespace: str) -> None:
        """Ask for the first time about a minute from now."""
        self._calls = calls
        self._ids = ids
        self._key: Item = {STREAM_KEY: text(f"{namespace}|t|0"), PLACE_KEY: text("-")}
        self._asked = monotonic_seconds()
        self._pause = self._next_pause()

    async def is_mine(self) -> bool:
        """Whether this process is to do it now; then nobody else will be for a while.

        Cost: nothing but once a minute, then half a read unit; a write unit for who it is.
        """
        now = monotonic_seconds()
        if now - self._asked < self._pause:
            return False
        self._asked, self._pause = now, self._next_pause()
        return await self._take()

    async def _take(self) -> bool:
        table = self._calls.table(JOURNAL.name)
        answer = await self._calls("get_item", TableName=table, Key=self._key)
        before = optional_number(answer.get("Item", {}), _DONE) or 0
        now = (await self._calls.now()).micros
        if now - before < EVERY * _MICROS:
            return False
        put = Expression()
        put.require("attribute_not_exists({a}) OR {a} = {old}", a=_DONE, old=number(before))
        item: Item = {
            **self._key,
            _DONE: number(now),
            TTL_ATTRIBUTE: number(now // _MICROS + _KEPT),
        }
        try:
            await self._calls("put_item", TableName=table, Item=item, **put.condition_words())
        except ConditionFailed:
            return False
        return True

    def _next_pause(self) -> float:
        return EVERY * (0.5 + self._ids.jitter())
