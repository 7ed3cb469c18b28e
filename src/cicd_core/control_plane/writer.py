"""The one way to the store for writes: bounded, jittered repetition with the same commit id."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio

from cicd_core.errors import StoreError
from cicd_core.model.instants import from_micros

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from cicd_core.ids import IdSource
    from cicd_core.settings import Settings
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict, StoreTime

Answer = TypeVar("Answer")

#: The first pause between two tries, in seconds; it doubles up to the last.
_FIRST_PAUSE = 0.01
_LAST_PAUSE = 1.0


async def together(calls: Sequence[Callable[[], Awaitable[Answer]]]) -> list[Answer]:
    """Make calls at once, and return their answers in the order given.

    The first error comes out as it is, not in a group, and ends the other calls.
    """
    if len(calls) == 1:
        return [await calls[0]()]
    answers: dict[int, Answer] = {}
    failures: list[Exception] = []

    async def make(position: int, call: Callable[[], Awaitable[Answer]]) -> None:
        try:
            answers[position] = await call()
        except Exception as failure:  # noqa: BLE001 - raised below, by itself
            failures.append(failure)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for position, call in enumerate(calls):
            tasks.start_soon(make, position, call)
    if failures:
        raise failures[0]
    return [answers[position] for position in range(len(calls))]


class Writer:
    """A store, with the clock, the ids and the patience that the services share."""

    def __init__(self, store: Store, ids: IdSource, settings: Settings) -> None:
        """Keep what the services need; nothing is opened here."""
        self.store = store
        self.ids = ids
        self.settings = settings

    async def now(self) -> datetime:
        """Return the store's calendar (UTC)."""
        return from_micros((await self.store_time()).calendar)

    async def store_time(self) -> StoreTime:
        """Return the time on the store's two clocks, which are all that decisions see."""
        return await self.patiently(self.store.now)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        """Commit, and repeat while the store is unavailable: each commit's id makes that safe.

        Raises:
            StoreUnavailable: it stayed so; whether the commits took effect is unknown.
        """
        return await self.patiently(lambda: self.store.commit(commits))

    async def patiently(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Make a repeatable call, again after a pause while the store's failure may pass."""
        for attempt in range(self.settings.commit_attempts - 1):
            try:
                return await call()
            except StoreError as failed:
                if not failed.retryable:
                    raise
                await self.pause(attempt)
        return await call()

    async def pause(self, attempt: int) -> None:
        """Wait a little, longer with each attempt, and not as long as everybody else."""
        longest = min(_FIRST_PAUSE * 2**attempt, _LAST_PAUSE)
        await anyio.sleep(longest * (0.5 + self.ids.jitter() / 2))
