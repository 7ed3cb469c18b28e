"""Paths of the server, from names, which are percent-encoded where they are more than letters."""

from __future__ import annotations

from urllib.parse import quote


def path_of(*parts: str, name: str | None = None, command: str | None = None) -> str:
    """Return ``/api/…``, then a name of the caller's, then the command on what it names."""
    return _joined("/api", parts, name, command)


def auth_path_of(*parts: str, name: str | None = None, command: str | None = None) -> str:
    """Return ``/auth/…``, as :func:`path_of`."""
    return _joined("/auth", parts, name, command)


def _joined(root: str, parts: tuple[str, ...], name: str | None, command: str | None) -> str:
    named = () if name is None else (_encoded(name),)
    return "/".join([root, *parts, *named, *(() if command is None else (command,))])


def _encoded(name: str) -> str:
    """Return a name as one part of a path; dots alone would be steps up to another path."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
