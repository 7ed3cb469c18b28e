"""Addresses of pages, for any mount point of the application."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import RedirectResponse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

#: The path of the pages, below the root of the application.
PLACE: Final = "/ui"


def root_of(request: Request) -> str:
    """Return the path prefix of the application, from a proxy or a program that mounts it."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def base_of(request: Request) -> str:
    """Return the path prefix of all pages."""
    return f"{root_of(request)}{PLACE}"


def path_of(request: Request) -> str:
    """Return the path of a request as the caller sent it, with the application's prefix."""
    root, path = root_of(request), str(request.scope["path"])
    return path if path.startswith(f"{root}/") else f"{root}{path}"


def own_address(request: Request, address: str | None) -> str:
    """Return an address if it is that of a page, else the address of the first page."""
    base = base_of(request)
    is_own = address is not None and address.startswith(f"{base}/") and address.isprintable()
    return address if is_own and address is not None else f"{base}/"


def redirect(address: str) -> Response:
    """Return the answer that sends a browser to a page."""
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
