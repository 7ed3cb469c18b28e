"""Stores and records that are not as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.ids import IdSource
from cicd_core.store.records import Commit, Committed, Put
from cicd_core.testing.passing_store import PassingStore

if TYPE_CHECKING:
    from cicd_core.store.contract import Store


class Relay(PassingStore):
    """A store that hands everything on to another one; what is broken overrides a verb."""

    def before(self, sibling: Store) -> Store:
        return sibling


async def damage(store: Store, collection: str, key: str) -> None:
    """Put bytes that are no body into a record, and leave all else as it is."""
    record = (await store.get(collection, [key]))[key]
    put = Put(
        collection=collection,
        key=key,
        expected=record.version,
        body=b"\xff not JSON",
        attributes=record.attributes,
        lease_limit=record.lease_limit,
        expires_at=record.expires_at,
    )
    commit = Commit(commit_id=IdSource().commit_id(), writes=(put,))
    (answer,) = await store.commit([commit])
    assert isinstance(answer, Committed)
