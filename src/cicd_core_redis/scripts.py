"""The Lua scripts: what each is made of, and its digest.

A script is the collections' shapes, written out as Lua, and some of the files in ``lua/``, one
behind the other, since Redis knows no libraries that need no administrator.
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
    """A script: what it does."""

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
#: Those whose answer must survive the server, where the store promises that it does. What is read
#: may be the effect of a write that nobody confirmed; who acts on it, tells it, or reads the log on
#: from there, must not see it undone.
DURABLE: Final = frozenset(
    {Verb.COMMIT, Verb.CHANGE, Verb.CLAIM, Verb.RENEW, Verb.GET, Verb.COUNTERS, Verb.READ_LOG}
)
#: Those that a server runs also where its memory is full. What was begun must come to its end, and
#: only what is new can wait; a script that reads or drops needs no leave.
_ALLOWED_WHEN_FULL: Final = frozenset({Verb.CHANGE, Verb.CLAIM, Verb.RENEW})


@frozen
class Script:
    """A script, ready to be sent."""

    verb: Verb
    text: bytes
    #: The digest by which EVALSHA names it.
    sha: bytes
    #: What stands before all other arguments.
    first: tuple[int, ...] = ()


def scripts_for(
    collections: Iterable[Collection], *, skew: int = 0, in_cluster: bool = False
) -> dict[Verb, Script]:
    """Return every script, written for these collections.

    Args:
        collections: what the store keeps.
        skew: how far the clocks of the servers that may take over are apart, in microseconds.
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
    """Return the Lua function that tells the shape of a collection; see ``lua/records.lua``.

    The names need no escaping: a collection's and an attribute's are of ``[a-z0-9_-]`` alone.
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
    """Return the script that goes before a WAIT; it is sent whole, since it is short."""
    return _text("confirm")


@cache
def rights_text() -> str:
    """Return the script that tells which rights are missing; each connection sends it once."""
    return "\n".join(map(_text, ("records", "needs", "rights")))


def _text(part: str) -> str:
    return (files("cicd_core_redis") / "lua" / f"{part}.lua").read_text("utf-8")


def _script(verb: Verb, shapes: str, parts: tuple[str, ...], first: tuple[int, ...]) -> Script:
    texts = [_text(part) for part in parts]
    flags = ["#!lua flags=allow-oom"] if verb in _ALLOWED_WHEN_FULL else []
    text = "\n".join([*flags, shapes, *texts]).encode()
    # SHA-1 is what Redis names a script by; nothing is kept secret or safe by it.
    return Script(verb, text, sha1(text, usedforsecurity=False).hexdigest().encode(), first)
