"""How many jobs an agent runs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable


class Slots:
    """Counts slots in use. For the main loop; :attr:`busy` may be read by any thread."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._busy = 0
        self._changed = anyio.Event()
        #: Called when the last one in use is freed.
        self.on_idle: Callable[[], object] | None = None

    @property
    def busy(self) -> int:
        """How many are in use."""
        return self._busy

    @property
    def free(self) -> int:
        """How many are free."""
        return self._total - self._busy

    def take(self) -> None:
        """Use one."""
        self._busy += 1

    def give_back(self) -> None:
        """Free one."""
        self._busy -= 1
        self.wake()
        if self._busy == 0 and self.on_idle is not None:
            self.on_idle()

    def wake(self) -> None:
        """Let whoever waits for a change look again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def changed(self) -> None:
        """Wait until one is freed."""
        await self._changed.wait()
