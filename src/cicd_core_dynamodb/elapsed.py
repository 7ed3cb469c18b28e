"""Time that passes while the machine sleeps too: for promises that other processes rely on."""

from __future__ import annotations

from cicd_core.clock import boot_micros, wall_micros

_MICROS = 1_000_000


def awake_or_asleep() -> float:
    """Return seconds on a clock of this machine that also counts while it sleeps."""
    return boot_micros() / _MICROS


def wall_ahead() -> float:
    """Return by how many seconds the wall clock is ahead of :func:`awake_or_asleep`.

    It changes when one of the two is set, or stopped with the machine that they are in.
    """
    return (wall_micros() - boot_micros()) / _MICROS


class Stopwatch:
    """How long ago something was: rather too long than too short, whatever became of the clocks."""

    def __init__(self) -> None:
        """Start now."""
        self._began = awake_or_asleep()
        self._wall_ahead = wall_ahead()

    @property
    def seconds(self) -> float:
        """How many seconds have passed.

        A machine that was stopped as a whole, a virtual one say, may know it by its wall clock
        alone, which somebody sets when it goes on.
        """
        return awake_or_asleep() - self._began + max(0.0, wall_ahead() - self._wall_ahead)
