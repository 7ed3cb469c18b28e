"""Lets the store's time pass: by moving its clock or, if impossible, by waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.testing.samples import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Lease
    from cicd_core.testing.harness import StoreHarness

#: Factor by which a test that was too slow extends its next attempt.
_LONGER: Final = (1, 4, 16, 64)


class StoreClock:
    """The store's clock, controlled by a test. Instants and durations are microseconds.

    A wait of a test lasts :attr:`brief`. Leases that must not end meanwhile last 30 seconds or
    more. An action that must happen *before* a brief end is tried with longer and longer
    durations, so no test needs a fast store or machine.
    """

    def __init__(self, store: Store, harness: StoreHarness) -> None:
        self._store = store
        self._harness = harness

    @property
    def brief(self) -> int:
        """The duration of a wait of a test."""
        return SECOND if self._harness.clock else round(self._harness.brief * SECOND)

    async def now(self) -> int:
        """Return the store's time."""
        return (await self._store.now()).micros

    async def earliest(self) -> int:
        """Return a time that the store has certainly reached, whatever its uncertainty."""
        now = await self._store.now()
        return now.micros - now.uncertainty

    async def latest(self) -> int:
        """Return a time that the store has certainly not passed, whatever its uncertainty."""
        now = await self._store.now()
        return now.micros + now.uncertainty

    async def has_come(self, instant: int) -> bool:
        """Whether the store's time has reached ``instant``."""
        return await self.now() >= instant

    async def reach(self, instant: int) -> None:
        """Wait until the store's time has reached ``instant``; a manual clock stops there.

        Raises:
            TimeoutError: the store's clock does not move.
        """
        if self._harness.clock is not None:
            self._harness.clock.advance(micros=max(0, instant - await self.now()))
            assert await self.has_come(instant), "the store does not use the given clock"
        longest = self._harness.patience + self.brief * max(_LONGER) / SECOND
        with anyio.fail_after(longest):
            while (left := instant - await self.now()) > 0:  # noqa: ASYNC110 - the store's clock
                # sets no event
                await anyio.sleep(left / SECOND)

    async def reach_safely(self, instant: int) -> None:
        """Wait until ``instant`` has certainly come, whatever the clock's uncertainty."""
        await self.reach(instant + 2 * (await self._store.now()).uncertainty)

    async def outlast(self, lease: Lease) -> None:
        """Wait until a lease has certainly expired; it lasts to its last microsecond."""
        await self.reach_safely(lease.expires + 1)

    def durations(self) -> Iterator[int]:
        """Yield durations to try for an action that must finish before a brief time is over.

        One duration if time stands still; else longer and longer ones.
        """
        for longer in _LONGER[: 1 if self._harness.clock else None]:
            yield self.brief * longer
