"""A machine whose wall clock jumps, for one process."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from cicd_core import clock
from cicd_core.model.instants import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random  # noqa: TID251 - the caller's, seeded

#: The offsets of the wall clock, in microseconds: an hour, a day, a year, in both directions.
_JUMPS: Final = tuple(
    sign * seconds * SECOND for seconds in (90, 3600, 86_400, 31_536_000) for sign in (1, -1)
)
#: How long each offset lasts, in seconds of the monotonic clock.
_STAYS: Final = 0.25


def jumping(random: Random, true_micros: Callable[[], int]) -> Callable[[], int]:
    """Return a wall clock whose offset changes every quarter of a second."""
    offsets = [0, *random.choices(_JUMPS, k=64)]

    def micros() -> int:
        step = int(clock.monotonic_seconds() / _STAYS) % len(offsets)
        return true_micros() + offsets[step]

    return micros


def make_wall_clock_jump(random: Random) -> None:
    """Replace the wall clock of this process by one that jumps, until the process ends.

    The monotonic clocks stay right, as on a machine whose time is set.
    """
    real = time.time_ns  # noqa: TID251 - the machine's own clock must jump
    micros = jumping(random, lambda: real() // 1000)
    original = clock.wall_micros
    time.__dict__.update(time_ns=lambda: micros() * 1000, time=lambda: micros() / SECOND)
    for module in tuple(sys.modules.values()):  # also modules that imported it by name
        for name, value in tuple(vars(module).items()):
            if value is original:
                setattr(module, name, micros)
