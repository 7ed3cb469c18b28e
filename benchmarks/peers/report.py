"""What the measurements come to: medians, ratios to the targets, and the page of the docs."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.targets import TARGETS, Figures

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "peers.md"
#: What is between these two lines of the page is made here.
BEGIN: Final = "<!-- figures: made by `python -m benchmarks.peers --report` -->"
END: Final = "<!-- end of the figures -->"

#: Of the bars, visible on light and on dark pages.
_COLOURS: Final = '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#4c7fb8"}}}}%%'
_NAMES: Final = {
    "redis": "Redis",
    "sqlite, normal": "SQLite, synchronous NORMAL",
    "sqlite, full": "SQLite, synchronous FULL",
    "memory": "Memory",
}
TITLES: Final = {
    "enqueue-1": "enqueue, 1 caller",
    "enqueue-64": "enqueue, 64 callers",
    "bulk": "enqueue 500 a call",
    "pairs-1": "claim + complete, 1 caller",
    "pairs-16": "claim + complete, 16 callers",
    "pairs-64": "claim + complete, 64 callers",
    "worker-1": "own worker, 1 slot",
    "worker-16": "own worker, 16 slots",
    "worker-64": "own worker, 64 slots",
    "pickup": "pick-up by an idle worker",
}
#: From here on, a rate is shown in hundreds.
_MANY: Final = 1_000
#: Fewer bars say no more than the table.
_BARS: Final = 3
#: The works that have a plot, which would be unreadable with all of them.
PLOTTED: Final = ("pairs-64", "worker-16")


@define
class Results:
    """What every run gave, by the kind of store, the work and the contestant."""

    machine: dict[str, Any]
    runs: dict[tuple[str, str, str], list[dict[str, float]]] = field(factory=dict)

    def add(self, kind: str, work: str, name: str, answer: dict[str, float]) -> None:
        """Keep what one run gave."""
        self.runs.setdefault((kind, work, name), []).append(answer)

    def median(self, kind: str, work: str, name: str, figure: str) -> float | None:
        """Return the median of a figure, or None if it was not measured."""
        found = [run[figure] for run in self.runs.get((kind, work, name), ()) if figure in run]
        return statistics.median(found) if found else None

    def as_json(self) -> dict[str, Any]:
        """Return all, with the ratios that have a target."""
        return {
            "machine": self.machine,
            "runs": [
                {"kind": kind, "work": work, "contestant": name, "runs": runs}
                for (kind, work, name), runs in self.runs.items()
            ],
            "targets": [
                {"text": text, "found": found, "must": must, "met": met}
                for text, found, must, met in judged(self)
            ],
        }

    @classmethod
    def read(cls, path: Path) -> Results:
        """Return what :meth:`as_json` gave."""
        data = json.loads(path.read_text())
        runs = {(row["kind"], row["work"], row["contestant"]): row["runs"] for row in data["runs"]}
        return cls(data["machine"], runs)


def judged(results: Results) -> Iterator[tuple[str, float, str, bool]]:
    """Yield each target that was measured, with what was found and whether that suffices."""
    figures: Figures = results.median
    for target in TARGETS:
        found = target.found(figures)
        if found is not None:
            yield target.text, found, target.must, target.is_met_by(found)


def show(results: Results) -> None:
    """Print all that there is."""
    print("\n".join(_lines(results)))


def write_page(results: Results) -> None:
    """Put the figures where the page has them."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n".join(_lines(results)) + f"\n{END}{after}")


def _lines(results: Results) -> Iterator[str]:
    machine = results.machine
    yield (
        f"Measured on {machine['cores']} cores ({machine['processor']}), Python "
        f"{machine['python']}, at load {machine['load']:.1f}. The peers are "
        f"{', '.join(machine['versions'])}."
    )
    yield ""
    for kind in dict.fromkeys(kind for kind, _, _ in results.runs):
        yield from _table(results, kind)
        yield from _plots(results, kind)
    yield from _targets(results)


def _table(results: Results, kind: str) -> Iterator[str]:
    names = [
        name for name in CONTESTANTS[kind.partition(",")[0]] if _took_part(results, kind, name)
    ]
    yield f"### {_NAMES[kind]}"
    yield ""
    yield "Jobs a second | µs of CPU a job, of the client and of the server:"
    yield ""
    yield "| | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for work, title in TITLES.items():
        cells = [_cell(results, kind, work, name) for name in names]
        if any(cells):
            yield f"| {title} | " + " | ".join(cells) + " |"
    lacks = CONTESTANTS[kind.partition(",")[0]]
    yield "| *does without* | " + " | ".join(lacks[name].lacks or "-" for name in names) + " |"
    yield ""


def _took_part(results: Results, kind: str, name: str) -> bool:
    return any((kind, name) == (each, other) for each, _, other in results.runs)


def _cell(results: Results, kind: str, work: str, name: str) -> str:
    if work == "pickup":
        found = [results.median(kind, work, name, each) for each in ("p50_us", "p99_us")]
        both = [each for each in found if each is not None]
        return f"{both[0] / 1000:.2f} ms, p99 {both[1] / 1000:.2f} ms" if both else ""
    rate = results.median(kind, work, name, "rate")
    if rate is None:
        return ""
    cpu = [results.median(kind, work, name, each) for each in ("client_us", "server_us")]
    return f"{_round(rate)}; " + " + ".join(f"{each:.0f}" for each in cpu if each is not None)


def _round(rate: float) -> str:
    return f"{round(rate, -2 if rate >= _MANY else -1):,.0f}"


def _plots(results: Results, kind: str) -> Iterator[str]:
    for work in PLOTTED:
        names = [name for (each, job, name) in results.runs if (each, job) == (kind, work)]
        rates = [results.median(kind, work, name, "rate") or 0.0 for name in names if name != "raw"]
        if len(rates) < _BARS:
            continue
        shown = ", ".join(f'"{name}"' for name in names if name != "raw")
        yield "```mermaid"
        yield _COLOURS
        yield "xychart-beta horizontal"
        yield f"    accTitle: {_NAMES[kind]}: {TITLES[work]}, jobs a second"
        yield f'    title "{_NAMES[kind]}: {TITLES[work]}"'
        yield f"    x-axis [{shown}]"
        yield f'    y-axis "jobs a second" 0 --> {1.1 * max(rates):.0f}'
        yield f"    bar [{', '.join(f'{rate:.0f}' for rate in rates)}]"
        yield "```"
        yield ""


def _targets(results: Results) -> Iterator[str]:
    yield "### Targets"
    yield ""
    yield "| ratio | found | must | |"
    yield "|---|---|---|---|"
    for text, found, must, met in judged(results):
        yield f"| {text} | {found:.2f} | {must} | {'met' if met else '**missed**'} |"
    yield ""
