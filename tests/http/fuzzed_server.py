"""A server for schemathesis: all routes over a store in memory, for a caller who may do everything.

    python -m tests.http.fuzzed_server 8765

serves until it is stopped; its caller shows the token ``fuzz``. Nothing waits: a claim that would
wait for work, and a stream of events, end at once, as on a server that stops.
"""

from __future__ import annotations

import sys

import anyio
import uvicorn

from cicd_core import ControlPlane, NotAuthenticated
from cicd_core.http.server import BearerAccess, Principal, Scope, create_app

CALLER = Principal(name="fuzz", scopes=frozenset(Scope))


class OneToken:
    """Knows the caller, whose key no request can revoke."""

    async def authenticate(self, token: str) -> Principal:
        if token != "fuzz":
            raise NotAuthenticated("send the token fuzz")
        return CALLER


async def main(port: int) -> None:
    async with ControlPlane.open("memory://") as plane:
        app = create_app(plane, auth=BearerAccess(OneToken()))
        app.state.waiting.stop()
        config = uvicorn.Config(app, port=port, lifespan="off", log_level="warning")
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]))
