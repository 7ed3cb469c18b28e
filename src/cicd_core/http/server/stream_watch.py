"""What every stream does besides its content: checks its caller, and sends signs of life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from attrs import define, field

if TYPE_CHECKING:
    from cicd_core.http.server.routing import Call
    from cicd_core.http.server.streams import Write
    from cicd_core.model.principal import Scope

#: Seconds between two checks of a stream's caller. A process uses its cached copy of a key for four
#: seconds, so a revocation takes effect within five.
LOOK_SECONDS: Final = 1.0
#: Seconds between two checks of a caller without a key, such as a session: each of them reads the
#: store.
SESSION_SECONDS: Final = 4.0
#: Seconds between two signs of life of a stream: proxies end silent connections.
ALIVE_SECONDS: Final = 4.0
#: Tells the caller to reconnect after so many milliseconds when the server has stopped.
RETRY: Final = b"retry: 1000\n\n"


@define
class StreamWatch:
    """The checks of one stream."""

    call: Call
    #: The scope that its caller needs.
    scope: Scope
    #: Times of the last check and of the last sign of life (the event loop's clock).
    looked: float = field(factory=anyio.current_time)
    alive: float = field(factory=anyio.current_time)

    async def look(self, write: Write, sign_of_life: bytes) -> None:
        """Check that the caller may still follow, and send a sign of life, if each is due.

        Raises:
            NotAuthenticated: its key or its session has ended meanwhile.
            NotPermitted: it lacks the scope now.
        """
        now = anyio.current_time()
        is_cached = self.call.principal.key_id is not None
        if now - self.looked >= (LOOK_SECONDS if is_cached else SESSION_SECONDS):
            self.looked = now
            await self.call.recheck(self.scope)
        if now - self.alive >= ALIVE_SECONDS:
            self.alive = now
            await write(sign_of_life)
