"""The clock of leases, and the detection of pauses of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.clock import boot_micros, monotonic_seconds, wall_micros
from cicd_core.model.instants import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

#: How far two clocks may drift apart between two checks, in seconds, before it counts as a pause.
_DRIFT_SECONDS: Final = 0.5


def lease_clock() -> float:
    """Return the lease clock in seconds; it continues while the machine sleeps."""
    return boot_micros() / SECOND


class PauseWatch:
    """Detects that this process, or its machine, was paused.

    Any of three signs is enough: the check runs much later than it was due (SIGSTOP, a debugger, a
    machine that swaps), the boot clock ran ahead of the monotonic one (suspend to RAM or to disk),
    or the wall clock ran ahead of both (a paused virtual machine, after its host or NTP has set the
    clock). A wrong guess costs one early renewal.
    """

    def __init__(
        self,
        lease: Callable[[], float] = lease_clock,
        awake: Callable[[], float] = monotonic_seconds,
        wall: Callable[[], float] = lambda: wall_micros() / SECOND,
    ) -> None:
        """Start; the clocks count during sleep, do not count during sleep, and may jump."""
        self._clocks = (lease, awake, wall)
        self._seen = self._read()

    def look(self, due_at: float) -> float:
        """Return how many seconds were lost since the last check; 0 for no pause.

        Args:
            due_at: when this check was due, on the lease clock; infinity: at no set time.
        """
        before, self._seen = self._seen, self._read()
        lease, awake, wall = (now - then for now, then in zip(self._seen, before, strict=True))
        late = self._seen[0] - due_at
        lost = max(lease - awake, wall - lease, late)
        return lost if lost > _DRIFT_SECONDS else 0.0

    def _read(self) -> tuple[float, float, float]:
        lease, awake, wall = self._clocks
        return lease(), awake(), wall()
