"""Random numbers from a seed, for each part of a run."""

from __future__ import annotations

from random import Random  # noqa: TID251 - its seed comes in as a parameter


def drawn(seed: int, *words: object) -> Random:
    """Return the random numbers of one part of a run: the same words give the same numbers."""
    return Random("/".join(map(str, (seed, *words))))  # noqa: S311 - no secrets are drawn
