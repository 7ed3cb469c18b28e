"""Put, claim and finish items for ever, in a process of its own: python churn.py FILE NAME.

Prints what was answered, when it was answered: so whatever stands there must be in the file.
"""

# ruff: noqa: T201 - the test reads what is printed
from __future__ import annotations

import sys
from itertools import count
from typing import TYPE_CHECKING

import anyio
from attrs import evolve

from cicd_core.store.records import Committed, Increment
from cicd_core.store.registry import open_store
from cicd_core.testing.samples import COLLECTIONS, apply, claim, commit, event_of, item

if TYPE_CHECKING:
    from cicd_core.store.contract import Store

CALLERS = 8


async def churn(store: Store, name: str) -> None:
    for number in count():
        key = f"{name}.{number}"
        put = commit(item(key), events=[event_of(key, body=b"put")], commit_id=f"put-{key}")
        assert isinstance(await apply(store, put), Committed)
        print("put", key, flush=True)
        for record in await store.claim(claim()):
            done = item(record.key, lane=None, expected=record.version, lease=None)
            finish = commit(
                evolve(done, attributes={**done.attributes, "state": "done"}),
                events=[event_of(record.key, body=b"done")],
                increments=[Increment("done|items")],
                commit_id=f"done-{record.key}-{record.version}",
            )
            assert isinstance(await apply(store, finish), Committed)
            print("done", record.key, flush=True)


async def main(path: str, name: str) -> None:
    async with (
        open_store(f"sqlite:///{path}", collections=COLLECTIONS) as store,
        anyio.create_task_group() as group,
    ):
        for caller in range(CALLERS):
            group.start_soon(churn, store, f"{name}.{caller}")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
