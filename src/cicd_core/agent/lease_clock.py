"""The clock that leases are counted by, and how a pause of the whole machine is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.clock import boot_micros, monotonic_seconds, wall_micros
from cicd_core.model.instants import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

#: How far two clocks may drift apart between two looks, in seconds, before a pause is suspected.
_DRIFT_SECONDS: Final = 0.5


def lease_clock() -> float:
    """Return seconds on the clock that leases are counted by; it counts while a machine sleeps."""
    return boot_micros() / SECOND


class PauseWatch:
    """Notices that this process, or its machine, stood still.

    Three signs are known, and any of them suffices: a look that comes much later than it was due
    (SIGSTOP, a debugger, a machine that swaps), a boot clock that ran ahead of the monotonic one
    (suspend to RAM or to disk), and a wall clock that ran ahead of both (a virtual machine that was
    paused, once its host or NTP has set the clock). A wrong guess costs one early renewal.
    """

    def __init__(
        self,
        lease: Callable[[], float] = lease_clock,
        awake: Callable[[], float] = monotonic_seconds,
        wall: Callable[[], float] = lambda: wall_micros() / SECOND,
    ) -> None:
        """Begin to watch; the clocks are those that count, do not count, and may jump."""
        self._clocks = (lease, awake, wall)
        self._seen = self._read()

    def look(self, due_at: float) -> float:
        """Return for how many seconds time was lost since the last look; 0 if none was.

        Args:
            due_at: when this look was due, on the lease clock; infinity: whenever it comes.
        """
        before, self._seen = self._seen, self._read()
        lease, awake, wall = (now - then for now, then in zip(self._seen, before, strict=True))
        late = self._seen[0] - due_at
        lost = max(lease - awake, wall - lease, late)
        return lost if lost > _DRIFT_SECONDS else 0.0

    def _read(self) -> tuple[float, float, float]:
        lease, awake, wall = self._clocks
        return lease(), awake(), wall()
