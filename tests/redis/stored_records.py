"""A record as the Redis store keeps it: one string of body, header, and the sizes of both."""

from __future__ import annotations

from typing import Any

_SIZE = 3


def split(stored: bytes) -> tuple[bytes, bytes]:
    """Return the body and the header of a record."""
    body_size = int.from_bytes(stored[-2 * _SIZE : -_SIZE], "big")
    return stored[:body_size], stored[body_size : -2 * _SIZE]


def joined(body: bytes, header: bytes) -> bytes:
    """Return a record of that body and that header."""
    sizes = (len(part).to_bytes(_SIZE, "big") for part in (body, header))
    return b"".join((body, header, *sizes))


def header_of(client: Any, key: str) -> bytes:
    """Return the header of a record; the client does not decode answers."""
    return split(client.get(key))[1]


def replace_header(client: Any, key: str, header: bytes) -> None:
    """Give a record another header."""
    client.set(key, joined(split(client.get(key))[0], header))


def lose_the_body(client: Any, key: str) -> None:
    """Take the body away from a record that has one."""
    stored = client.get(key)
    client.set(key, stored[len(split(stored)[0]) :])
