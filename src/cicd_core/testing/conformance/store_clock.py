"""How a test lets the store's time pass: by moving its clock or, where it cannot, by waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.testing.samples import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Lease
    from cicd_core.testing.harness import StoreHarness

#: By how much longer a test tries that was slower than what it wanted to be faster than.
_LONGER: Final = (1, 4, 16, 64)


class StoreClock:
    """The store's clock in the hands of a test. Instants and durations are microseconds.

    What a test waits out lasts :attr:`brief`. What must not end meanwhile lasts for 30 seconds or
    more. What must happen *before* something brief ends is tried for longer and longer durations,
    so that no test asks a store, or the machine that it runs on, to be fast.
    """

    def __init__(self, store: Store, harness: StoreHarness) -> None:
        """Move the harness's clock, if it has one."""
        self._store = store
        self._harness = harness

    @property
    def brief(self) -> int:
        """How long something lasts that a test waits out."""
        return SECOND if self._harness.clock else round(self._harness.brief * SECOND)

    async def now(self) -> int:
        """Return the store's time."""
        return (await self._store.now()).micros

    async def has_come(self, instant: int) -> bool:
        """Whether the store's time has come to ``instant``."""
        return await self.now() >= instant

    async def reach(self, instant: int) -> None:
        """Return when the store's time has come to ``instant``; a clock that moves stops there.

        Raises:
            TimeoutError: the store's clock stands still.
        """
        if self._harness.clock is not None:
            self._harness.clock.advance(micros=max(0, instant - await self.now()))
            assert await self.has_come(instant), "the store does not go by the clock it was given"
        longest = self._harness.patience + self.brief * max(_LONGER) / SECOND
        with anyio.fail_after(longest):
            while (left := instant - await self.now()) > 0:  # noqa: ASYNC110 - it is the store's
                # clock that is waited for, which sets no event
                await anyio.sleep(left / SECOND)

    async def reach_safely(self, instant: int) -> None:
        """Return when ``instant`` has come beyond doubt, however far the clock may be off."""
        await self.reach(instant + 2 * (await self._store.now()).uncertainty)

    async def outlast(self, lease: Lease) -> None:
        """Return when a lease has expired beyond doubt; it lasts to its last microsecond."""
        await self.reach_safely(lease.expires + 1)

    def durations(self) -> Iterator[int]:
        """Yield how long to try something for that must be done before a brief time is over.

        One duration where time stands still; where it does not, longer and longer ones.
        """
        for longer in _LONGER[: 1 if self._harness.clock else None]:
            yield self.brief * longer
