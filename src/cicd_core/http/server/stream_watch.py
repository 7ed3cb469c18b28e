"""What every stream does beside what it tells: it looks at its caller, and gives signs of life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from attrs import define, field

if TYPE_CHECKING:
    from cicd_core.http.server.routing import Call
    from cicd_core.http.server.streams import Write
    from cicd_core.model.principal import Scope

#: How often a stream looks whether its caller still may follow, in seconds: a revocation takes
#: effect within five, and for four of them a process believes what it has read of a key.
LOOK_SECONDS: Final = 1.0
#: How often a stream gives a sign of life, in seconds: proxies end what is silent.
ALIVE_SECONDS: Final = 4.0
#: After how many milliseconds a caller comes back when the server stopped.
RETRY: Final = b"retry: 1000\n\n"


@define
class StreamWatch:
    """The watch over one stream."""

    call: Call
    #: What its caller must be allowed to.
    scope: Scope
    #: When the caller was looked at, and when the stream gave a sign of life (the loop's clock).
    looked: float = field(factory=anyio.current_time)
    alive: float = field(factory=anyio.current_time)

    async def look(self, write: Write, sign_of_life: bytes) -> None:
        """See whether the caller still may follow, and give a sign of life, each at its time.

        Raises:
            NotAuthenticated: its key or its session has ended meanwhile.
            NotPermitted: it lacks the scope now.
        """
        now = anyio.current_time()
        if now - self.looked >= LOOK_SECONDS:
            self.looked = now
            await self.call.recheck(self.scope)
        if now - self.alive >= ALIVE_SECONDS:
            self.alive = now
            await write(sign_of_life)
