"""A handler for AWS Lambda: the application behind an HTTP API of API Gateway (format 2.0).

The variable ``CICD_STORE`` names the store; the credentials are those of the function's role. Each
caller needs a key or a session. The function needs the extras ``http`` and ``lambda``, and the
extra of the store.
"""

from __future__ import annotations

import asyncio
import os
from functools import cache
from threading import Thread, main_thread
from typing import TYPE_CHECKING, Any, Final

from mangum import Mangum

from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import InvalidInput
from cicd_core.http.server.app import create_app
from cicd_core.http.server.limits import Limits
from cicd_core.http.server.session_access import TokenAccess
from cicd_core.http.wire.problems import PROBLEM_JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The variable with the URL of the store.
STORE: Final = "CICD_STORE"
#: API Gateway gives up after 30 seconds, and forwards only complete answers.
LIMITS: Final = Limits(max_wait_seconds=20.0, max_streams=0)

#: Maximum wait for the store to close at the end of the process, in seconds.
_CLOSE_SECONDS: Final = 5.0

#: Media types that are sent as text, without base64.
_TEXTS: Final = ("text/", "application/json", PROBLEM_JSON)


def handle(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answer one request.

    A claim waits at most 20 seconds; then its caller asks again. Streams are refused (429): read
    the events in pages. The store stays open between the calls of one execution environment.

    Args:
        event: the request from API Gateway.
        context: the context of Lambda.

    Raises:
        InvalidInput: the variable for the store is not set.
        StoreError: the store can't be opened.
    """
    gateway = opened_gateway()
    asyncio.set_event_loop(gateway.loop)  # mangum runs this loop
    answer: dict[str, Any] = gateway.mangum(dict(event), context)  # type: ignore[arg-type] # Lambda's
    return answer


class Gateway:
    """An application over an open store, whose event loop runs only during a request."""

    def __init__(self, url: str) -> None:
        """Open the store.

        Raises:
            StoreError: it can't be opened.
        """
        self.loop = asyncio.new_event_loop()
        opened: asyncio.Future[ControlPlane] = self.loop.create_future()
        self._task = self.loop.create_task(_keep_open(url, opened))
        try:
            plane = self.loop.run_until_complete(opened)
        except BaseException:
            self.close()
            raise
        auth = TokenAccess(plane.keys, plane.sessions)
        asyncio.set_event_loop(self.loop)
        app = create_app(plane, auth=auth, limits=LIMITS)
        self.mangum = Mangum(app, lifespan="off", text_mime_types=list(_TEXTS))

    def close(self) -> None:
        """Close the store and the loop, once; a store that does not close in time is left open."""
        if self.loop.is_closed():
            return
        self._task.cancel()
        self.loop.run_until_complete(asyncio.wait([self._task], timeout=_CLOSE_SECONDS))
        self.loop.close()

    def close_at_exit(self) -> None:
        """Close when the main thread ends.

        The threads of SQLite's connections keep a process alive until the connections are closed,
        and functions of ``atexit`` run only after the wait for threads.
        """
        Thread(target=self._close_after_main, name="cicd-lambda-exit").start()

    def _close_after_main(self) -> None:
        main_thread().join()
        self.close()


@cache
def opened_gateway() -> Gateway:
    """Return the gateway of this execution environment; after a failure, open it again."""
    url = os.environ.get(STORE)
    if not url:
        raise InvalidInput(STORE, url, "name the store: dynamodb://?prefix=ci-&region=eu-west-1")
    gateway = Gateway(url)
    gateway.close_at_exit()
    return gateway


async def _keep_open(url: str, opened: asyncio.Future[ControlPlane]) -> None:
    """Keep a control plane open until it is cancelled: its resources belong to this task."""
    try:
        async with ControlPlane.open(url, maintenance=False) as plane:
            opened.set_result(plane)
            await asyncio.Event().wait()
    except Exception as failed:
        if opened.done():
            raise
        opened.set_exception(failed)
