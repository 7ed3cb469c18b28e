"""Paths of the server from names, whose special characters are percent-encoded."""

from __future__ import annotations

from urllib.parse import quote


def path_of(*parts: str, name: str | None = None, command: str | None = None) -> str:
    """Return ``/api/…``, followed by an encoded name and a command, if given."""
    return _joined("/api", parts, name, command)


def auth_path_of(*parts: str, name: str | None = None, command: str | None = None) -> str:
    """Return ``/auth/…``, like :func:`path_of`."""
    return _joined("/auth", parts, name, command)


def _joined(root: str, parts: tuple[str, ...], name: str | None, command: str | None) -> str:
    named = () if name is None else (_encoded(name),)
    return "/".join([root, *parts, *named, *(() if command is None else (command,))])


def _encoded(name: str) -> str:
    """Return a name as one segment of a path; dots alone would lead to another path."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")
