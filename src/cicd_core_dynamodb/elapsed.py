"""Time that passes while the machine sleeps too: for promises that other processes rely on."""

from __future__ import annotations

from cicd_core.clock import boot_micros, wall_micros
from cicd_core.model.instants import SECOND


def awake_or_asleep() -> float:
    """Return seconds on a clock of this machine that also counts while it sleeps."""
    return boot_micros() / SECOND


def wall_ahead() -> float:
    """Return by how many seconds the wall clock is ahead of :func:`awake_or_asleep`.

    It changes when one of the two is set, or stopped with the machine that they are in.
    """
    return (wall_micros() - boot_micros()) / SECOND


class Stopwatch:
    """How long ago something was: rather too long than too short, whatever became of the clocks."""

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
