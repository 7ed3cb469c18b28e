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
    from cicd_core_redis.pipeline import Pipeline

_log = logging.getLogger("cicd_core_redis")

#: How many of the server's names one script looks at: it holds up every other client meanwhile.
_NAMES: Final = 500
#: A field of ``meta``, the collection, and the number of the index among the collection's.
_Index = tuple[str, str, int]


def indexes_of(collections: Sequence[Collection]) -> list[_Index]:
    """Return the indexes of some collections."""
    return [
        (f"index:{index_prefix(collection.name, index)}", collection.name, number)
        for collection in collections
        for number, index in enumerate(collection.indexes, start=1)
    ]


async def complete_indexes(
    pipeline: Pipeline,
    meta: bytes,
    collections: Sequence[Collection],
    *,
    is_new: Callable[[], bool],
) -> None:
    """Bring every record into every index of its collection.

    Cost: one round trip where no index is new; else one for each 500 names that the server has, of
    other namespaces too.

    Raises:
        UnsupportedCapability: there is a new index, and the user may not ``SCAN``.
    """
    found = await pipeline.ask(b"HGETALL", meta)  # which connects
    known = {field.decode() for field in found[::2]}
    missing = [index for index in indexes_of(collections) if index[0] not in known]
    if not is_new():  # the connection tells
        await _build(pipeline, missing)
    if missing:
        marks = [word for field, _, _ in missing for word in (field, 1)]
        await pipeline.ask(b"HSET", meta, *marks)


async def _build(pipeline: Pipeline, missing: Sequence[_Index]) -> None:
    if not missing:
        return
    names = ", ".join(field.removeprefix("index:") for field, _, _ in missing)
    _log.info("adding records to new indexes: %s", names)
    arguments: list[Argument] = [await _run_of(pipeline, names), _NAMES, len(missing)]
    arguments += [word for item in missing for word in item]
    done = entries = 0
    while not done:
        done, made = await pipeline.run(Verb.INDEX, arguments)
        entries += made
    _log.info("added %d entries to new indexes", entries)


async def _run_of(pipeline: Pipeline, names: str) -> str:
    """Return the index to build and the run of the server: a cursor is valid only for both."""
    said = (await pipeline.ask(b"INFO", b"server")).decode()
    run = next((line for line in said.splitlines() if line.startswith("run_id:")), "")
    return sha256(f"{run} {names}".encode()).hexdigest()[:16]
