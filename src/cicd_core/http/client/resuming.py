"""Streams of the server that continue over several connections."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx2
from attrs import define, field

from cicd_core.agent.retry import Backoff
from cicd_core.errors import StoreError, StoreUnavailable
from cicd_core.http.client.answers import error_told
from cicd_core.http.client.connection import TRIES, Connection
from cicd_core.http.client.outages import Outage
from cicd_core.http.client.retry_after import asked_pause
from cicd_core.http.client.server_sent import Message, messages

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_log = logging.getLogger("cicd_core.http")

#: The name of the message that ends a stream.
_END: Final = "end"


@define
class ResumedStream:
    """A stream that is resumed after it breaks off."""

    connection: Connection
    path: str
    query: dict[str, Any]
    #: Where to continue, according to the newest message.
    place: str | None = field(default=None, init=False)
    #: Number of requests since the last message.
    tries: int = field(default=0, init=False)
    outage: Outage = field(factory=Outage, init=False)
    #: How long the server asked to wait before the next request, in seconds.
    pause: float = field(default=0.0, init=False)

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield the messages with data, until one marks the end.

        Raises:
            CicdError: the error of the server; ``StoreUnavailable`` if it did not answer four
                times in a row, or for a minute once it has sent something.
        """
        backoff = Backoff(most=2.0)
        while True:
            self.tries, self.pause = self.tries + 1, 0.0
            try:
                async with aclosing(self._once()) as messages:
                    async for message in messages:
                        if message.name == _END:
                            return
                        if message.data is not None:
                            yield message
                        self.tries = 0
                        self.outage.over()
                        backoff.reset()
                if self.tries >= TRIES:
                    raise StoreUnavailable("its streams end before their first message")
            except (httpx2.HTTPError, StoreError) as failed:
                is_passing = isinstance(failed, httpx2.HTTPError) or failed.retryable
                is_left = self.tries < TRIES or self.outage.may_go_on()
                if not is_passing or not is_left:
                    raise error_told(failed, self.connection.address.url) from failed
                _log.debug("the stream %s broke off: %s", self.path, failed)
            await anyio.sleep(backoff.next_delay() + self.pause)

    async def _once(self) -> AsyncGenerator[Message, None]:
        headers = {} if self.place is None else {"last-event-id": self.place}

        def note_pause(refused: httpx2.Response) -> None:
            self.pause = asked_pause(refused)

        async with (
            self.connection.streaming(
                self.path, self.query, headers=headers, refused=note_pause
            ) as parts,
            aclosing(messages(parts)) as found,
        ):
            async for message in found:
                if message.place is not None:
                    self.place = message.place
                yield message
