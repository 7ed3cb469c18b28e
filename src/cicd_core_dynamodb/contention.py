"""Spreads the claims of a process under contention. Pure.

Without contention, a process takes the best records of all shards, in order. A process that is too
late repeatedly reads one shard of many, chooses at random among its first records, and pauses a
little before it reads again: the more often it was too late, the wider it spreads and the longer it
pauses. So order is given up only as far as claims collide, and only by the colliding processes.
"""

from __future__ import annotations

from typing import Final

from cicd_core.values import evolve, frozen

#: The highest level, and the decrease after a claim without contention. The level is stable when
#: about one claim in sixteen is too late.
_MOST: Final = 5.0
_CALMING: Final = 1 / 16
#: The rows to choose from at the first level; they double from level to level, up to the most.
_FIRST_WINDOW: Final = 24
_WIDEST: Final = 160
#: The pause at the first level, in seconds; it doubles, up to the longest.
_FIRST_PAUSE: Final = 0.008
_LONGEST_PAUSE: Final = 0.25


@frozen(kw_only=True)
class Contention:
    """How often a process was too late recently, as a level; 0: no contention."""

    level: float = 0.0

    @property
    def is_calm(self) -> bool:
        """Whether the process may take the best records of all shards, in order."""
        return self.level < 1

    @property
    def window(self) -> int:
        """The number of rows of a shard to choose from, beyond the wanted ones."""
        return 0 if self.is_calm else min(_WIDEST, _FIRST_WINDOW << (int(self.level) - 1))

    def tries(self, limit: int) -> int:
        """Return how many rows to try before the next look, if ``limit`` records are wanted."""
        return limit + max(1, limit // 4)

    def pause(self, jitter: float) -> float:
        """Return how many seconds to wait before the next look; ``jitter`` is from 0 up to 1."""
        if self.is_calm:
            return 0.0
        return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (int(self.level) - 1)) * (0.5 + jitter)

    def after(self, *, taken: int, misses: int) -> Contention:
        """Return the level after some attempts."""
        if misses:
            return evolve(self, level=min(_MOST, max(1.0, self.level) + misses / max(1, taken)))
        return evolve(self, level=max(0.0, self.level - _CALMING)) if taken else self

    def nothing_there(self) -> Contention:
        """Return the level after a claim that found no record: there was no contention."""
        return Contention()
