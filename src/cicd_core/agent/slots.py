"""Counts how many jobs an agent runs at once, and how many of them are not reported yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable


class Slots:
    """Counts the slots in use, and the jobs held. For the main loop; any thread may read both.

    A job holds its slot while it runs. After that, its end is reported beside the next job, so that
    a slot does not stand idle for a round trip. If reports get no answer, at most as many of them
    are left open as there are slots: then no more jobs begin.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._busy = 0
        self._held = 0
        self._changed = anyio.Event()
        #: Called when no job is held any more.
        self.on_idle: Callable[[], object] | None = None

    @property
    def busy(self) -> int:
        """Number of slots in use."""
        return self._busy

    @property
    def held(self) -> int:
        """Number of jobs that run, or whose end has not been reported yet."""
        return self._held

    @property
    def free(self) -> int:
        """Number of jobs that may begin now."""
        return min(self._total - self._busy, 2 * self._total - self._held)

    def take(self) -> None:
        """Use a slot for a job."""
        self._busy += 1
        self._held += 1

    def give_back(self) -> None:
        """Free the slot of a job that has ended, but is not reported."""
        self._busy -= 1
        self.wake()

    def settle(self) -> None:
        """Let go of a job whose slot was freed: it is reported, or lost."""
        self._held -= 1
        self.wake()
        if self._held == 0 and self.on_idle is not None:
            self.on_idle()

    def wake(self) -> None:
        """Wake the task that waits for a change, so that it checks again."""
        self._changed.set()
        self._changed = anyio.Event()

    async def changed(self) -> None:
        """Wait until a slot is freed, or a job is settled."""
        await self._changed.wait()
