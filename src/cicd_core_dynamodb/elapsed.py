"""Elapsed time that includes the machine's sleep, for promises that other processes rely on."""

from __future__ import annotations

from cicd_core.clock import boot_micros, wall_micros
from cicd_core.model.instants import SECOND


def awake_or_asleep() -> float:
    """Return seconds on a clock of this machine that also counts while it sleeps."""
    return boot_micros() / SECOND


def wall_ahead() -> float:
    """Return by how many seconds the wall clock is ahead of :func:`awake_or_asleep`.

    It changes when one of the clocks is set, or stops together with its machine.
    """
    return (wall_micros() - boot_micros()) / SECOND


class Stopwatch:
    """The time since its creation: if a clock jumps, rather too long than too short."""

    def __init__(self) -> None:
        self._began = awake_or_asleep()
        self._wall_ahead = wall_ahead()

    @property
    def seconds(self) -> float:
        """The elapsed seconds.

        A machine that was suspended entirely, such as a virtual one, may notice it only by its
        wall clock, which is set when the machine continues.
        """
        return awake_or_asleep() - self._began + max(0.0, wall_ahead() - self._wall_ahead)
