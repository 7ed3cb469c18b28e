"""Waiters for work: all waiters of the fleet that take turns form one line.

A waiter subscribes first and looks then, so that it misses no record in between. Without a turn it
listens to the zsets of its partitions: a channel has the name of a zset, and a message is the new
member. With a turn, the script that looks stores a ticket for each partition; a message on the
store's channel names the ticket that was drawn. ``lua/waking.lua`` has the details.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import CancelScope, current_time

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import StoreError
from cicd_core.ids import IdSource
from cicd_core.store.records import Watch
from cicd_core.store.waiters import Waiters
from cicd_core_redis.keys import listener_channel, partition_of, prefix_of, zset_of
from cicd_core_redis.listening import Listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from cicd_core_redis.connecting import Connection, Source

Counted = TypeVar("Counted", bytes, str)

#: A watch, and the ticket to store for it: empty for none, or :data:`NEXT`.
Look = tuple[Watch, str]
#: In place of a ticket: if the watch is true, wake the next waiter in the line.
NEXT: Final = "!"
#: How long tickets of waiters that left stay, in seconds: a waiter that polls comes back soon.
_LINGER: Final = 1.0
#: How long a closing store tries to give its tickets back, in seconds.
_LAST_WORDS: Final = 0.5
#: How long to assume that the server has a ticket, in seconds: it may have lost its data.
_RELIANCE: Final = 60.0


class Waiting:
    """The waiters of one event loop."""

    def __init__(
        self,
        source: Source,
        connect: Callable[[], Awaitable[Connection]],
        look: Callable[[Sequence[Look], Sequence[str]], Awaitable[bool]],
        namespace: str | None,
    ) -> None:
        self._look = look
        self._prefix = prefix_of(namespace)
        self._listener = IdSource().claim_id()
        self._channel = listener_channel(namespace, self._listener)
        self._waiters: Waiters[str] = Waiters(zset_of, pass_on=self._pass_on)
        #: The number of waiters of each channel.
        self._needed: dict[bytes, int] = {}
        self._listening = Listening(
            source, connect, needed=self._needed, hear=self._hear, lose=self._lose
        )
        #: The tickets that the server may have, and when it was last known to have them, on this
        #: process's monotonic clock; 0 for those that it may lack.
        self._tickets: dict[str, float] = {}
        #: The tickets of current waiters, and the number of waiters of each.
        self._used: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tidying = False

    async def wait(self, watches: Sequence[Watch], seconds: float) -> bool:
        """Return whether one of the watches may have come true within ``seconds``."""
        if seconds == 0 or not watches:
            return await self._without_listening(watches, seconds)
        deadline = current_time() + seconds
        looks = [(watch, self._ticket(watch)) for watch in watches]
        channels = self._channels(looks)
        tickets = [ticket for _, ticket in looks if ticket]
        _count(self._needed, channels, 1)
        _count(self._used, tickets, 1)

        async def look() -> bool:
            with CancelScope(deadline=deadline):
                await self._listening.subscribe(channels)
            return await self._look_and_line_up(looks)

        try:
            return await self._waiters.wait(
                watches, seconds, owner=self, look=look, check=self._listening.check
            )
        finally:
            _count(self._needed, channels, -1)
            _count(self._used, tickets, -1)
            self._tidy_soon()

    async def close(self) -> None:
        """End each wait with an error, give the tickets back, and disconnect."""
        await self._listening.close()
        self._waiters.wake_all(self)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._tickets:
            with CancelScope(deadline=current_time() + _LAST_WORDS, shield=True):
                await self._give_back(list(self._tickets))

    async def _without_listening(self, watches: Sequence[Watch], seconds: float) -> bool:
        if watches and await self._look([(watch, "") for watch in watches], ()):
            return True
        await asyncio.sleep(seconds)
        return False

    def _ticket(self, watch: Watch) -> str:
        if watch.turn is None:
            return ""
        zset = zset_of(watch.partition)
        return f"{len(zset.encode())}:{zset}{watch.turn}{self._listener}"

    def _channels(self, looks: Sequence[Look]) -> list[bytes]:
        """Return the channels with the messages for the watches."""
        names = (
            self._channel if ticket else f"{self._prefix}{zset_of(watch.partition)}".encode()
            for watch, ticket in looks
        )
        return list(dict.fromkeys(names))

    async def _look_and_line_up(self, looks: Sequence[Look]) -> bool:
        """Look; if no watch is true, the server has all tickets afterwards."""
        now = monotonic_seconds()
        asked = [
            (watch, ticket if now - self._tickets.get(ticket, 0.0) > _RELIANCE else "")
            for watch, ticket in looks
        ]
        left = [ticket for _, ticket in asked if ticket]
        for ticket in left:  # before the call: a ticket may be drawn before the answer comes
            self._tickets[ticket] = 0.0
        is_true = await self._look(asked, ())
        for ticket in left:
            if ticket in self._tickets and not is_true:
                self._tickets[ticket] = now
        return is_true

    def _hear(self, channel: bytes, content: bytes) -> None:
        if channel != self._channel:
            self._waiters.announce(channel.decode().removeprefix(self._prefix), content.decode())
        elif content:  # an empty message only checks that this process listens
            number, _, rest = content.partition(b":")
            size = int(number)
            self._drawn(rest[:size], rest[size:].decode())

    def _drawn(self, drawn: bytes, member: str) -> None:
        """Wake the waiter whose ticket was drawn; if it has left, wake the next one."""
        number, _, rest = drawn.partition(b":")
        zset = rest[: int(number)].decode()
        turn = rest[int(number) :].decode().removesuffix(self._listener)
        self._tickets.pop(drawn.decode(), None)
        if not self._waiters.offer_to(zset, turn, member):
            self._pass_on(zset, member)

    def _pass_on(self, zset: str, _member: str) -> None:
        self._begin(self._ask([(Watch(partition_of(zset)), NEXT)], ()))

    def _lose(self) -> None:
        """Make all waiters look again: messages are lost, and perhaps tickets too."""
        self._tickets = dict.fromkeys(self._tickets, 0.0)
        self._waiters.wake_all(self)

    def _tidy_soon(self) -> None:
        if not self._tidying and self._tickets:
            self._tidying = True
            self._begin(self._tidy())

    async def _tidy(self) -> None:
        """Give back the tickets whose waiters have not come back."""
        try:
            await asyncio.sleep(_LINGER)
        finally:
            self._tidying = False
        await self._give_back([ticket for ticket in self._tickets if ticket not in self._used])

    async def _give_back(self, tickets: Sequence[str]) -> None:
        for ticket in tickets:
            del self._tickets[ticket]
        if tickets:
            await self._ask((), tickets)

    async def _ask(self, looks: Sequence[Look], given_back: Sequence[str]) -> None:
        """Ask the server and ignore a failure: each waiter looks again soon."""
        with suppress(StoreError):
            await self._look(looks, given_back)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _count(counts: dict[Counted, int], names: Sequence[Counted], change: int) -> None:
    """Change the count of each name; remove a name whose count is zero."""
    for name in names:
        counts[name] = counts.get(name, 0) + change
        if not counts[name]:
            del counts[name]
