"""The report for people: tables, and the day as rows of bars."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cicd_core.testing.simulation.measuring import Sample
    from cicd_core.testing.simulation.report import SimulationReport

_BARS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BARS: Final = "_.-:=+*#"
#: The number of columns for a day.
_WIDTH: Final = 72

Row = tuple[str, ...]


def bars(values: Sequence[float], width: int = _WIDTH, *, ascii_only: bool = False) -> str:
    """Return values as a row of bars: the largest value of each column; the lowest bar is 0."""
    if not values:
        return ""
    columns = min(width, len(values))
    edges = [round(column * len(values) / columns) for column in range(columns + 1)]
    tops = [max(values[a:b]) for a, b in pairwise(edges)]
    drawn = _ASCII_BARS if ascii_only else _BARS
    most = max(tops)
    if most <= 0:
        return drawn[0] * columns
    return "".join(drawn[round(top / most * (len(drawn) - 1))] for top in tops)


def text_of(report: SimulationReport, *, ascii_only: bool = False) -> str:
    """Return the whole report as plain text."""
    lines = [*_summary(report), ""]
    lines += [*columns_of(waits_rows(report)), "", *plot(report.samples, ascii_only=ascii_only)]
    return "\n".join([*lines, "", *verdict(report)])


def waits_rows(report: SimulationReport) -> list[Row]:
    """Return the table of waits, its heading first."""
    rows: list[Row] = [("priority", "claims", "p50", "p95", "max")]
    for priority, found in report.waits.items():
        durations = (shown(item) for item in (found.p50, found.p95, found.longest))
        rows.append((priority.name.lower(), str(found.claims), *durations))
    return rows


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return a table as lines: the first column left-aligned, numbers right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if position else cell.ljust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def plot(samples: Sequence[Sample], *, ascii_only: bool = False) -> list[str]:
    """Return the time of traffic as rows of bars, with the maximum of each row."""
    rows: tuple[tuple[str, list[float]], ...] = (
        ("wait", [sample.wait for sample in samples]),
        ("ready", [item.ready for item in samples]),
        ("running", [sample.held for sample in samples]),
        ("agents", [sample.agents for sample in samples]),
        ("desired", [sample.desired for sample in samples]),
    )
    if not samples:
        return ["no samples: the traffic was shorter than one sample"]
    lines: list[str] = []
    for name, values in rows:
        most = max(values)
        peak = shown(most) if name == "wait" else f"{most:.0f}"
        lines.append(f"{name:8} {bars(values, ascii_only=ascii_only)} max {peak}")
    width = min(_WIDTH, len(samples))
    end = f"{samples[-1].at / 3600:.0f} h"
    return [*lines, f"{'':8} {'0 h':<{max(width - len(end), 4)}}{end}"]


def verdict(report: SimulationReport) -> list[str]:
    """Return whether every promise held, and the command to repeat a violation."""
    if report.ok:
        checks = f"{sum(report.checked.values())} checks, {report.audited} in the audit"
        return [f"every promise holds: {checks}"]
    lines = [
        f"BROKEN at step {violation.step}: {violation.invariant}: {violation.text}"
        for violation in report.violations
    ]
    return [*lines, f"seed {report.plan.seed}; again: {report.replay}"]


def shown(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 36_000 else f"{seconds / 3600:.1f} h"


def _summary(report: SimulationReport) -> Iterable[str]:
    plan, tally = report.plan, report.tally

    def counted(*names: str) -> str:
        return ", ".join(f"{tally.get(name, 0)} {name.replace('_', '-')}" for name in names)

    scaled = ", started and drained by the scaling signal" if plan.autoscale else ""
    return [
        f"simulated    {report.seconds / 86400:.2f} days in {report.steps} steps, seed {plan.seed}",
        f"agents       {plan.agents}{scaled}; {counted('crashes', 'stalls')}",
        f"jobs         {counted('enqueued', 'success', 'failed', 'error', 'timeout', 'cancelled')}",
        f"again        {counted('retries', 'dead_lettered', 'replays')}",
        f"repeated     {tally.get('repeated calls', 0)} calls whose replies were lost",
        f"refused      {tally.get('refused stale calls', 0)} calls of stale owners",
        f"utilisation  {report.utilisation:.0%} of the slots that ran",
    ]
