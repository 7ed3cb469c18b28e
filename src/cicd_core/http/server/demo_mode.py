"""Answers with made-up data, marked as a demo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The header of a request for made-up data, and of each answer with it.
HEADER: Final = "x-demo-mode"
_YES: Final = "true"
#: The text above every page of a demo.
BANNER: Final = "Demo: this data is made up, and nothing runs here."


class DemoMode:
    """Passes a request to the demo or the real application, and marks the answers of the demo."""

    def __init__(self, app: ASGIApp, made_up: ASGIApp, *, always: bool) -> None:
        """Take both applications.

        Args:
            app: answers requests without the header.
            made_up: answers requests with the header.
            always: whether the data of ``app`` is made up too.
        """
        self._app = app
        self._made_up = made_up
        self._always = always

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        wanted = scope["type"] == "http" and Headers(scope=scope).get(HEADER, "").lower() == _YES
        app = self._made_up if wanted and not self._always else self._app
        if not wanted and not self._always:
            await app(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = _YES
            await send(message)

        await app(scope, receive, send_marked)
