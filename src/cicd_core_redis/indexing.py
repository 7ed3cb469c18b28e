"""Indexes that a namespace lacks: a version of the library, or an application, has added them.

``meta`` has a field for each index that its records are in. Where one is missing, the records that
are there already are brought into it before the store is given out, some at a time.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cicd_core_redis.keys import index_prefix
from cicd_core_redis.scripts import Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cicd_core.store.records import Collection
    from cicd_core_redis.codec import Argument
    from cicd_core_redis.pipeline import Pipe

_log = logging.getLogger("cicd_core_redis")

#: How many of the server's names one script looks at: it holds up every other client meanwhile.
_NAMES: Final = 500
#: A field of ``meta``, the collection, and the number of the index among the collection's.
_Index = tuple[str, str, int]


def indexes_of(collections: Sequence[Collection]) -> list[_Index]:
    """Return the indexes of some collections."""
    return [
        (f"index:{index_prefix(each.name, index)}", each.name, number)
        for each in collections
        for number, index in enumerate(each.indexes, start=1)
    ]


async def complete_indexes(
    pipe: Pipe, meta: bytes, collections: Sequence[Collection], *, is_new: Callable[[], bool]
) -> None:
    """Bring every record into every index of its collection.

    Cost: one round trip where no index is new; else one for each 500 names that the server has, of
    other namespaces too.

    Raises:
        UnsupportedCapability: there is a new index, and the user may not ``SCAN``.
    """
    found = await pipe.ask(b"HGETALL", meta)  # which connects
    known = {field.decode() for field in found[::2]}
    missing = [each for each in indexes_of(collections) if each[0] not in known]
    if not is_new():  # the connection tells
        await _build(pipe, missing)
    if missing:
        marks = [word for field, _, _ in missing for word in (field, 1)]
        await pipe.ask(b"HSET", meta, *marks)


async def _build(pipe: Pipe, missing: Sequence[_Index]) -> None:
    if not missing:
        return
    names = ", ".join(field.removeprefix("index:") for field, _, _ in missing)
    _log.info("records are brought into new indexes: %s", names)
    words: list[Argument] = [await _run_of(pipe, names), _NAMES, len(missing)]
    words += [word for each in missing for word in each]
    done = entries = 0
    while not done:
        done, made = await pipe.run(Verb.INDEX, words)
        entries += made
    _log.info("%d entries were made in new indexes", entries)


async def _run_of(pipe: Pipe, names: str) -> str:
    """Return what is built in which run of the server: a cursor is good for both alone."""
    said = (await pipe.ask(b"INFO", b"server")).decode()
    run = next((line for line in said.splitlines() if line.startswith("run_id:")), "")
    return sha256(f"{run} {names}".encode()).hexdigest()[:16]
