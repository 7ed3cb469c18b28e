"""The Lua scripts: the parts of each one, and its digest.

A script is the collections' shapes, written as Lua, followed by some of the files in ``lua/``.
Libraries of Redis (functions) would need an administrator.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from cicd_core.values import frozen
from cicd_core_redis.keys import index_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.store.records import Collection


class Verb(Enum):
    """A script, named by its action."""

    COMMIT = "commit"
    #: A commit that creates nothing.
    CHANGE = "change"
    CLAIM = "claim"
    RENEW = "renew"
    GET = "get"
    PAGE = "page"
    LOOK = "look"
    COUNT = "count"
    COUNTERS = "counters"
    READ_LOG = "read_log"
    SWEEP = "sweep"
    INDEX = "index"


_BASE: Final = ("records", "clock", "noting")
_WRITING: Final = (
    "records",
    "needs",
    "permitted",
    "clock",
    "noting",
    "places",
    "waking",
    "moves",
    "writing",
)
_READING: Final = (*_BASE, "places", "reading")
_PARTS: Final[Mapping[Verb, tuple[str, ...]]] = {
    Verb.COMMIT: (*_WRITING, "commit", "increments", "stream", "apply"),
    Verb.CHANGE: (*_WRITING, "commit", "increments", "stream", "apply"),
    Verb.CLAIM: (*_WRITING, "claim", "grant"),
    Verb.RENEW: (*_WRITING, "renew"),
    Verb.GET: (*_READING, "get"),
    Verb.PAGE: (*_READING, "page"),
    Verb.LOOK: (*_READING, "waking", "look"),
    Verb.COUNT: (*_WRITING, "count"),
    Verb.COUNTERS: (*_BASE, "stream", "counters"),
    Verb.READ_LOG: (*_BASE, "stream", "read_log"),
    Verb.SWEEP: (*_WRITING, "sweep"),
    Verb.INDEX: (*_WRITING, "index"),
}
#: The scripts whose effect must survive the loss of the server, if the store promises that. A read
#: is among them because it may see the effect of an unconfirmed write; a caller that acts on it, or
#: continues to read the log from there, must not see it undone.
DURABLE: Final = frozenset(
    {Verb.COMMIT, Verb.CHANGE, Verb.CLAIM, Verb.RENEW, Verb.GET, Verb.COUNTERS, Verb.READ_LOG}
)
#: The scripts that a server runs even when its memory is full: started work must be able to finish;
#: only new work can wait. Scripts that only read or delete need no such flag.
_ALLOWED_WHEN_FULL: Final = frozenset({Verb.CHANGE, Verb.CLAIM, Verb.RENEW})


@frozen
class Script:
    """A script, ready to send."""

    verb: Verb
    text: bytes
    #: Its digest for EVALSHA.
    sha: bytes
    #: The arguments before all others.
    first: tuple[int, ...] = ()


def scripts_for(
    collections: Iterable[Collection], *, skew: int = 0, in_cluster: bool = False
) -> dict[Verb, Script]:
    """Return every script for these collections.

    Args:
        collections: the collections of the store.
        skew: how far apart the clocks of servers that take over may be, in microseconds.
        in_cluster: whether the slot of the keys may move to another node.
    """
    shapes = shapes_text(collections)
    first = {Verb.COMMIT: (skew,), Verb.CHANGE: (skew,)}
    return {
        verb: _script(
            verb, shapes, _in_cluster(parts) if in_cluster else parts, first.get(verb, ())
        )
        for verb, parts in _PARTS.items()
    }


def shapes_text(collections: Iterable[Collection]) -> str:
    """Return the Lua function that returns the shape of a collection; see ``lua/records.lua``.

    The names need no escaping: names of collections and attributes have only ``[a-z0-9_-]``.
    """
    lines = [
        f"  if name == '{collection.name}' then return {_shape(collection)} end"
        for collection in collections
    ]
    return "\n".join(["local function shape_of(name)", *lines, "end", ""])


def _shape(collection: Collection) -> str:
    attributes = collection.attributes
    positions = {name: position for position, name in enumerate(attributes, start=1)}
    follows = positions[collection.lease_sort] if collection.lease_sort else 0
    items = [str(len(attributes)), str(follows)]
    for index in collection.indexes:
        prefix = index_prefix(collection.name, index)
        items += [f"'{prefix}'", str(positions[index.partition]), str(positions[index.sort])]
    sorts = {index.sort for index in collection.indexes}
    stored = [f":{name}" if name in sorts else name for name in attributes]
    names = ", ".join(f"'{name}'" for name in stored)
    places = ", ".join(f"['{name}'] = {at}" for at, name in enumerate(stored, start=1))
    items += [f"names = {{{names}}}", f"positions = {{{places}}}"]
    return "{" + ", ".join(items) + "}"


def _in_cluster(parts: tuple[str, ...]) -> tuple[str, ...]:
    return (parts[0], "moving", *parts[1:])


def confirming_text() -> str:
    """Return the script that goes before a WAIT; its text is always sent, since it is short."""
    return _text("confirm")


@cache
def rights_text() -> str:
    """Return the script that lists the missing rights; each connection sends it once."""
    return "\n".join(map(_text, ("records", "needs", "rights")))


def _text(part: str) -> str:
    return (files("cicd_core_redis") / "lua" / f"{part}.lua").read_text("utf-8")


def _script(verb: Verb, shapes: str, parts: tuple[str, ...], first: tuple[int, ...]) -> Script:
    texts = [_text(part) for part in parts]
    flags = ["#!lua flags=allow-oom"] if verb in _ALLOWED_WHEN_FULL else []
    text = "\n".join([*flags, shapes, *texts]).encode()
    # Redis names a script by its SHA-1; security does not depend on it.
    return Script(verb, text, sha1(text, usedforsecurity=False).hexdigest().encode(), first)
