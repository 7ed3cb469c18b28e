"""The parts that repositories and services share: a store with retries, ids, settings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.background import together
from cicd_core.model.instants import from_micros
from cicd_core.store.retrying import RetryingStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from cicd_core.ids import IdSource
    from cicd_core.settings import Settings
    from cicd_core.store.contract import Store


class Context:
    """A store, with the ids and the settings that belong to it."""

    def __init__(self, store: Store, ids: IdSource, settings: Settings) -> None:
        """Wrap the store so that calls are repeated as often as the settings say; open nothing."""
        self.store = RetryingStore(store, attempts=settings.commit_attempts, jitter=ids.jitter)
        self.ids = ids
        self.settings = settings

    async def counters(self, prefixes: Sequence[str]) -> dict[str, int]:
        """Return the counters whose names begin with one of the prefixes, read in parallel."""
        found = await together([partial(self.store.counters, prefix) for prefix in prefixes])
        return {name: value for answer in found for name, value in answer.values.items()}

    async def calendar(self) -> datetime:
        """Return the store's calendar (UTC)."""
        return from_micros((await self.store.now()).calendar)
