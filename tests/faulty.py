"""Stores that break a promise, in front of a sound one: what several tests plant."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from attrs import evolve

from cicd_core.persistence.collections import JOBS
from cicd_core.testing.passing_store import PassingStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict


class CountingStore(PassingStore):
    """A store that breaks its promise at every n-th call."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.calls = count(1)


class Careless(PassingStore):
    """Takes a write to a job whatever version it expects: a stale owner's completion too."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await super().commit([await self._eased(each) for each in commits])

    async def _eased(self, commit: Commit) -> Commit:
        writes = []
        for write in commit.writes:
            found = (await self.store.get(write.collection, [write.key])).get(write.key)
            stale = found is not None and write.expected > 0 and write.collection == JOBS.name
            writes.append(evolve(write, expected=found.version) if found and stale else write)
        return evolve(commit, writes=tuple(writes))
