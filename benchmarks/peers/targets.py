"""What is to be reached, as ratios of medians of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

#: The median of a figure, by the kind of store, the work, the contestant and its name.
Figures = Callable[[str, str, str, str], float | None]


@frozen(kw_only=True)
class Target:
    """A ratio of ours to the best of some peers, or a figure of ours."""

    text: str
    kind: str
    work: str
    peers: tuple[str, ...] = ()
    figure: str = "rate"
    at_least: float = 0.0
    at_most: float | None = None

    @property
    def must(self) -> str:
        """What suffices."""
        return f"≥ {self.at_least}" if self.at_most is None else f"≤ {self.at_most}"

    def found(self, figures: Figures) -> float | None:
        """Return what was measured, or None; times in milliseconds."""
        ours = figures(self.kind, self.work, "ours", self.figure)
        if ours is None:
            return None
        if not self.peers:
            return ours / 1000
        others = [figures(self.kind, self.work, name, self.figure) for name in self.peers]
        known = [each for each in others if each is not None]
        return ours / max(known) if known else None

    def is_met_by(self, found: float) -> bool:
        """Whether a ratio is good enough."""
        return found >= self.at_least and (self.at_most is None or found <= self.at_most)


_NODE: Final = ("BullMQ, Node",)
_ACKNOWLEDGE: Final = ("BullMQ, Python", "SAQ")
_IN_PYTHON: Final = (*_ACKNOWLEDGE, "taskiq", "Huey")
_NORMAL, _FULL = "sqlite, normal", "sqlite, full"

TARGETS: Final = (
    Target(
        text="Redis, claim + complete, 64 callers / BullMQ on Node",
        kind="redis",
        work="pairs-64",
        peers=_NODE,
        at_least=0.6,
    ),
    Target(
        text="Redis, claim + complete, 1 caller / best Python peer that acknowledges",
        kind="redis",
        work="pairs-1",
        peers=_ACKNOWLEDGE,
        at_least=0.7,
    ),
    Target(
        text="Redis, enqueue, 64 callers / BullMQ on Node",
        kind="redis",
        work="enqueue-64",
        peers=_NODE,
        at_least=0.75,
    ),
    Target(
        text="Redis, enqueue 500 a call / BullMQ on Node",
        kind="redis",
        work="bulk",
        peers=_NODE,
        at_least=0.65,
    ),
    Target(
        text="Redis, own worker, 16 slots / BullMQ on Node",
        kind="redis",
        work="worker-16",
        peers=_NODE,
        at_least=0.45,
    ),
    Target(
        text="Redis, own worker, 64 slots / BullMQ on Node",
        kind="redis",
        work="worker-64",
        peers=_NODE,
        at_least=0.4,
    ),
    Target(
        text="Redis, own worker, 16 slots / best Python peer",
        kind="redis",
        work="worker-16",
        peers=_IN_PYTHON,
        at_least=1.0,
    ),
    Target(
        text="Redis, own worker, 64 slots / best Python peer",
        kind="redis",
        work="worker-64",
        peers=_IN_PYTHON,
        at_least=1.0,
    ),
    Target(
        text="SQLite FULL, claim + complete, 64 callers / litequeue",
        kind=_FULL,
        work="pairs-64",
        peers=("litequeue",),
        at_least=3.5,
    ),
    Target(
        text="SQLite FULL, claim + complete, 1 caller / litequeue",
        kind=_FULL,
        work="pairs-1",
        peers=("litequeue",),
        at_least=0.6,
    ),
    Target(
        text="SQLite NORMAL, claim + complete, 64 callers / Huey",
        kind=_NORMAL,
        work="pairs-64",
        peers=("Huey",),
        at_least=0.55,
    ),
    Target(
        text="memory, claim + complete, 1 caller / APScheduler 4",
        kind="memory",
        work="pairs-1",
        peers=("APScheduler 4",),
        at_least=0.08,
    ),
    Target(
        text="Redis, pick-up by an idle worker, p50, ms",
        kind="redis",
        work="pickup",
        figure="p50_us",
        at_most=1.6,
    ),
    Target(
        text="Redis, pick-up by an idle worker, p99, ms",
        kind="redis",
        work="pickup",
        figure="p99_us",
        at_most=6.0,
    ),
)
