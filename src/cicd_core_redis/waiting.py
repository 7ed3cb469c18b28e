"""Waiters for work: those who wait with a turn stand in one line for the whole fleet.

A waiter subscribes first and looks then, so that no record falls in between. Without a turn it
listens to the zsets of its partitions: a channel has the name of a zset, and a message is the
member that came in. With a turn it leaves a ticket for each partition with the script that looks,
and hears on the channel of its store that its ticket was drawn; ``lua/waking.lua`` says how.
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

#: A watch, and the ticket to leave for it: empty for none, or :data:`NEXT`.
Look = tuple[Watch, str]
#: In the place of a ticket: where the watch is true, the next one in the line is woken.
NEXT: Final = "!"
#: How long tickets of waiters that left stay, in seconds: who waits in rounds comes back soon.
_LINGER: Final = 1.0
#: How long a store that is closed tries to give its tickets back, in seconds.
_LAST_WORDS: Final = 0.5
#: How long the server is relied on to have a ticket, in seconds: it may have lost its data.
_RELIANCE: Final = 60.0


class Waiting:
    """Who waits for what, in one event loop."""

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
        #: How many wait for messages of each channel.
        self._needed: dict[bytes, int] = {}
        self._listening = Listening(
            source, connect, needed=self._needed, hear=self._hear, lose=self._lose
        )
        #: The tickets that the server may have, and when it was last known to have them, on this
        #: process's monotonic clock; 0 for those that it may lack.
        self._tickets: dict[str, float] = {}
        #: Those that a waiter of this moment counts on, and by how many.
        self._used: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tidying = False

    async def wait(self, watches: Sequence[Watch], seconds: float) -> bool:
        """Return whether one of the watches may have come true within so many seconds."""
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
        """End all waiting with an error each, give the tickets back, and disconnect."""
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
        """Return the channels on which the watches are heard of."""
        names = (
            self._channel if ticket else f"{self._prefix}{zset_of(watch.partition)}".encode()
            for watch, ticket in looks
        )
        return list(dict.fromkeys(names))

    async def _look_and_line_up(self, looks: Sequence[Look]) -> bool:
        """Look; where nothing is true, the server has all the tickets then."""
        now = monotonic_seconds()
        asked = [
            (watch, ticket if now - self._tickets.get(ticket, 0.0) > _RELIANCE else "")
            for watch, ticket in looks
        ]
        left = [ticket for _, ticket in asked if ticket]
        for ticket in left:  # before: it may be drawn before the answer comes
            self._tickets[ticket] = 0.0
        is_true = await self._look(asked, ())
        for ticket in left:
            if ticket in self._tickets and not is_true:
                self._tickets[ticket] = now
        return is_true

    def _hear(self, channel: bytes, content: bytes) -> None:
        if channel != self._channel:
            self._waiters.announce(channel.decode().removeprefix(self._prefix), content.decode())
        elif content:  # an empty message asks only whether it is heard
            number, _, rest = content.partition(b":")
            size = int(number)
            self._drawn(rest[:size], rest[size:].decode())

    def _drawn(self, drawn: bytes, member: str) -> None:
        """Wake the waiter whose ticket was drawn; if it has gone, let the next one be woken."""
        number, _, rest = drawn.partition(b":")
        zset = rest[: int(number)].decode()
        turn = rest[int(number) :].decode().removesuffix(self._listener)
        self._tickets.pop(drawn.decode(), None)
        if not self._waiters.offer_to(zset, turn, member):
            self._pass_on(zset, member)

    def _pass_on(self, zset: str, _member: str) -> None:
        self._begin(self._ask([(Watch(partition_of(zset)), NEXT)], ()))

    def _lose(self) -> None:
        """Have all waiters look again: what was said meanwhile is lost, tickets perhaps too."""
        self._tickets = dict.fromkeys(self._tickets, 0.0)
        self._waiters.wake_all(self)

    def _tidy_soon(self) -> None:
        if not self._tidying and self._tickets:
            self._tidying = True
            self._begin(self._tidy())

    async def _tidy(self) -> None:
        """Give back the tickets that nobody has come back for."""
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
        """Ask beside the traffic: who waits looks again before long, where it fails."""
        with suppress(StoreError):
            await self._look(looks, given_back)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _count(counts: dict[Counted, int], names: Sequence[Counted], change: int) -> None:
    """Count those who need each of some names; what none needs goes."""
    for name in names:
        counts[name] = counts.get(name, 0) + change
        if not counts[name]:
            del counts[name]
