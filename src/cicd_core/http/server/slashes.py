"""Names with slashes in paths: encoded, as callers send them, or decoded on the way.

A slash within a name is ``%2F``, which keeps it apart from the slashes of the path. But HTTP APIs
of API Gateway, and some proxies, decode a path before they forward it. Such a path has too many
parts for its route; then the names take the parts that are left.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.routing import Router
    from starlette.types import ASGIApp, Receive, Scope, Send

_NAME = re.compile(r"\{(\w+)\}")


class EncodedSlashes:
    """Keeps encoded slashes in names apart from the slashes of the path."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route by the path as it was sent, if the server has it."""
        raw: bytes = scope.get("raw_path") or b""
        if scope["type"] == "http" and b"%" in raw:
            scope = {**scope, "path": raw.decode("ascii", "replace")}
        await self._app(scope, receive, send)


class DecodedSlashes:
    """Answers requests that no route matches: again, with the slashes of their names encoded."""

    def __init__(self, router: Router, paths: Iterable[str]) -> None:
        """Take the router, and the paths of its routes, such as ``/jobs/{job_id}/why``."""
        self._router = router
        self._otherwise = router.default
        # The path with the most fixed parts first: `why` is rather a command than a part of a name.
        named = (path for path in paths if "{" in path)
        by_parts = sorted(named, key=lambda path: -len(_NAME.sub("", path).strip("/").split("/")))
        self._patterns = [(path, _pattern(path)) for path in by_parts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request by the first route that fits, else as if there were no route."""
        if scope["type"] == "http":
            root = scope.get("root_path", "")
            path = scope["path"].removeprefix(root)
            encoded = self._encoded(path)
            if encoded not in {None, path}:
                await self._router({**scope, "path": f"{root}{encoded}"}, receive, send)
                return
        await self._otherwise(scope, receive, send)

    def _encoded(self, path: str) -> str | None:
        """Return the path with encoded names; None: no route can have it."""
        for template, pattern in self._patterns:
            if found := pattern.fullmatch(path):
                names = {name: quote(text, safe="") for name, text in found.groupdict().items()}
                return template.format_map(names)
        return None


def _pattern(path: str) -> re.Pattern[str]:
    """Return the pattern of paths in which names may have slashes within them."""
    parts = _NAME.split(path)  # fixed parts and names, in turn
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [f"(?P<{name}>[^/](?:.*?[^/])?)" for name in parts[1::2]]
    return re.compile("".join(parts))
