"""What repositories and services share: a store that is asked again, ids, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.instants import from_micros
from cicd_core.store.retrying import RetryingStore

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.ids import IdSource
    from cicd_core.settings import Settings
    from cicd_core.store.contract import Store


class Context:
    """A store, with the ids and the settings that go with it."""

    def __init__(self, store: Store, ids: IdSource, settings: Settings) -> None:
        """Let the store be asked as often as the settings say; nothing is opened here."""
        self.store = RetryingStore(store, attempts=settings.commit_attempts, jitter=ids.jitter)
        self.ids = ids
        self.settings = settings

    async def calendar(self) -> datetime:
        """Return the store's calendar (UTC)."""
        return from_micros((await self.store.now()).calendar)
