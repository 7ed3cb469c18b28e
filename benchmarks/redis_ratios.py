"""What the Redis benchmark makes of its measurements: medians, ratios, and whether they suffice."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

#: Other Python queues; Huey is quicker than those that keep a lease and acknowledge.
PEERS: Final = ("saq", "huey", "bullmq")
LEASING_PEERS: Final = ("saq", "bullmq")
#: What is to be compared: the store by its verbs, and the whole control plane.
OURS: Final = ("store", "plane")


class Rows:
    """What was measured: for each work and contestant, a figure a run."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], list[float]] = {}

    def add(self, work: str, contestant: str, figure: float) -> None:
        """Keep the figure of one run."""
        self._runs.setdefault((work, contestant), []).append(figure)

    def median(self, work: str, contestant: str) -> float | None:
        """Return the median of the runs, or None if there were none."""
        runs = self._runs.get((work, contestant))
        return statistics.median(runs) if runs else None

    def show(self) -> None:
        """Print a line a work, a column a contestant."""
        contestants = list(dict.fromkeys(name for _, name in self._runs))
        print(f"{'':26}" + "".join(f"{name:>14}" for name in contestants))
        for work in sorted({work for work, _ in self._runs}):
            cells = (self.median(work, name) for name in contestants)
            texts = ("-" if cell is None else f"{cell:,.1f}" for cell in cells)
            print(f"{work:26}" + "".join(f"{text:>14}" for text in texts))
        print()

    def as_json(self) -> dict[str, Any]:
        """Return everything, with the ratios."""
        return {
            "rows": [
                {"work": work, "contestant": name, "median": statistics.median(runs), "runs": runs}
                for (work, name), runs in self._runs.items()
            ],
            "targets": [
                {"of": ours, "ratio": found, "target": target.text, "met": target.met_by(found)}
                for target in TARGETS
                for ours in OURS
                if (found := target.ratio(self, ours)) is not None
            ],
        }


@frozen
class Target:
    """A ratio that is to be reached, or not to be exceeded."""

    text: str
    #: The figure of ours, and what it is divided by; None if it was not measured.
    ratio: Callable[[Rows, str], float | None]
    at_least: float | None = None
    at_most: float | None = None

    def met_by(self, ratio: float) -> bool:
        """Whether a ratio is good enough."""
        lowest = float("-inf") if self.at_least is None else self.at_least
        highest = float("inf") if self.at_most is None else self.at_most
        return lowest <= ratio <= highest


def against(work: str, *others: str) -> Callable[[Rows, str], float | None]:
    """Return what compares ours with the best of some others at a work."""

    def ratio(rows: Rows, ours: str) -> float | None:
        own = rows.median(work, ours)
        found = [figure for name in others if (figure := rows.median(work, name)) is not None]
        return own / max(found) if own is not None and found else None

    return ratio


def deep(rows: Rows, ours: str) -> float | None:
    """Compare a claim over a deep queue with one over a shallow queue."""
    figures = [rows.median(f"claim-p50-{kind}", ours) for kind in ("deep", "shallow")]
    return figures[0] / figures[1] if figures[0] and figures[1] else None


def queued_bytes(rows: Rows, ours: str) -> float | None:
    """Compare the bytes a queued job with SAQ's, which keeps no log: ours is left out."""
    own, saq = rows.median("bytes-queued", ours), rows.median("bytes-queued", "saq")
    log = rows.median("bytes-queued, stream", ours) or 0.0
    return (own - log) / saq if own is not None and saq else None


TARGETS: Final = (
    Target("claim + complete, 64 callers / raw", against("pairs-64", "raw"), at_least=0.35),
    Target("claim + complete, 64 callers / best peer", against("pairs-64", *PEERS), at_least=1.5),
    Target(
        "claim + complete, 64 callers / best peer that acknowledges",
        against("pairs-64", *LEASING_PEERS),
        at_least=1.5,
    ),
    Target("claim + complete, 64 callers / SAQ", against("pairs-64", "saq"), at_least=5.0),
    Target("claim + complete, 1 caller / raw", against("pairs-1", "raw"), at_least=0.5),
    Target("enqueue, 64 callers / SAQ", against("enqueue-64", "saq"), at_least=2.0),
    Target("enqueue in bulk / BullMQ", against("bulk", "bullmq"), at_least=2.0),
    Target("claim p50, deep / shallow queue", deep, at_most=1.3),
    Target("pick-up p50 / Huey", against("pickup", "huey"), at_most=1.5),
    Target("bytes a queued job without the log / SAQ", queued_bytes, at_most=1.3),
)


def show_targets(rows: Rows) -> None:
    """Print every ratio that was measured, and whether it suffices."""
    for target in TARGETS:
        limit = f"≥ {target.at_least}" if target.at_least is not None else f"≤ {target.at_most}"
        for ours in OURS:
            ratio = target.ratio(rows, ours)
            if ratio is not None:
                verdict = "met" if target.met_by(ratio) else "MISSED"
                print(f"{ratio:8.2f}  {limit:>6}  {verdict:6}  {ours}: {target.text}")
