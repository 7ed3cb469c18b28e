"""Builds indexes that a namespace lacks, after a version or an application has added them.

``meta`` has a field for each complete index. If one is missing, the existing records are added to
that index, some at a time, before the store is open.
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

#: The number of keys that one script looks at: it blocks all other clients while it runs.
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
    """Add every record to every index of its collection.

    Cost: one round trip if no index is new; otherwise one for each 500 keys of the server, those
    of other namespaces included.

    Raises:
        UnsupportedCapability: there is a new index, and the user may not run ``SCAN``.
    """
    found = await pipeline.ask(b"HGETALL", meta)  # this connects
    known = {field.decode() for field in found[::2]}
    missing = [index for index in indexes_of(collections) if index[0] not in known]
    if not is_new():  # known since the connection
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
    """Return a digest of the indexes and the server's run: a cursor is valid only for both."""
    info = (await pipeline.ask(b"INFO", b"server")).decode()
    run = next((line for line in info.splitlines() if line.startswith("run_id:")), "")
    return sha256(f"{run} {names}".encode()).hexdigest()[:16]
