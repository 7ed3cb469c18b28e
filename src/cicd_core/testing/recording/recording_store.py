"""A store that records its requests and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.testing.passing_store import PassingStore
from cicd_core.testing.recording.recorder import CallRecorder
from cicd_core.testing.recording.store_calls import Get, History, StoreArgument, StoreResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Claim,
        Commit,
        Committed,
        Conflict,
        Record,
        Renewal,
        Renewed,
    )


class Recorder(CallRecorder[StoreArgument, StoreResult]):
    """Collects the operations of many clients of one store. Thread-safe."""

    def wrap(self, store: Store, client: str) -> RecordingStore:
        """Return a store that records one client's calls; each client needs a unique name."""
        return RecordingStore(store, self, client)

    def history(self) -> History:
        """Return the records so far, if there is no sink."""
        return History(list(self.operations))


class RecordingStore(PassingStore):
    """A store that records get, commit, claim and renew; see :meth:`Recorder.wrap`."""

    def __init__(
        self, store: Store, recorder: CallRecorder[StoreArgument, StoreResult], client: str
    ) -> None:
        super().__init__(store)
        self._recorder = recorder
        self._client = client

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key; each one is an operation."""
        wanted = list(dict.fromkeys(keys))
        return await self._recorder.record(
            self._client,
            [Get(collection=collection, key=key) for key in wanted],
            self.store.get(collection, keys),
            lambda found: map(found.get, wanted),
            reads=True,
        )

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Apply each commit completely, or not at all; each one is an operation."""
        call = self.store.commit(commits)
        return await self._recorder.record(self._client, commits, call, iter)

    async def claim(self, claim: Claim) -> list[Record]:
        """Claim up to ``limit`` records with the smallest sort values over the partitions."""
        call = self.store.claim(claim)
        return await self._recorder.record(
            self._client, [claim], call, lambda records: [tuple(records)]
        )

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        """Move leases' expiries; each renewal is an operation."""
        call = self.store.renew(renewals)
        return await self._recorder.record(self._client, renewals, call, iter)

    def before(self, sibling: Store) -> Store:
        """Return a recorder for the same client."""
        return RecordingStore(sibling, self._recorder, self._client)
