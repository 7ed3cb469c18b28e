"""Counts how many jobs an agent runs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable


class Slots:
    """Counts the slots in use. For the main loop; any thread may read :attr:`busy`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._busy = 0
        self._changed = anyio.Event()
        #: Called when the last slot in use is freed.
        self.on_idle: Callable[[], object] | None = None

    @property
    def busy(self) -> int:
        """Number of slots in use."""
        return self._busy

    @property
    def free(self) -> int:
        """Number of free slots."""
        return self._total - self._busy

    def take(self) -> None:
        """Use a slot."""
        self._busy += 1

    def give_back(self) -> None:
        """Free a slot."""
        self._busy -= 1
        self.wake()
        if self._busy == 0 and self.on_idle is not None:
            self.on_idle()

    def wake(self) -> None:
        """Wake the task that waits for a change, so that it checks again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def changed(self) -> None:
        """Wait until a slot is freed."""
        await self._changed.wait()
