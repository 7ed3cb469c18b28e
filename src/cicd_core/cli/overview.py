"""The queue's statistics and the summary, for people."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from rich.text import Text

from cicd_core.cli.screen import Screen, facts, instant, span, status, table, text
from cicd_core.cli.tables import deployments_table, jobs_table

if TYPE_CHECKING:
    from datetime import datetime

    from rich.table import Table

    from cicd_core.control_plane.dashboard import DashboardSummary
    from cicd_core.queueing.stats import QueueStats

_Status = TypeVar("_Status", bound=StrEnum)


def show_stats(screen: Screen, seen: QueueStats) -> None:
    """Write the statistics of a queue."""
    screen.show(stats_table(screen, seen))
    if seen.by_lane:
        lanes = table("LANE", "READY", right=("READY",))
        for lane, number in sorted(seen.by_lane.items(), key=lambda pair: (-pair[1], pair[0])):
            lanes.add_row(text(lane), text(number))
        screen.show("", lanes)


def stats_table(screen: Screen, seen: QueueStats) -> Table:
    """Return the statistics as names and values."""
    estimated = "" if seen.exact else " (estimated)"
    whose = "all pools" if seen.pool_name is None else f"pool {seen.pool_name}"
    return facts(
        [
            ("queue", f"{whose}{estimated}"),
            ("now", counts(seen.depth)),
            ("ready", f"{seen.ready}" + (f", {seen.delayed} delayed" if seen.delayed else "")),
            ("oldest", span(seen.oldest_queued_seconds)),
            ("waited", _measured(seen.average_wait_seconds, seen.p95_wait_seconds)),
            ("ran", _measured(seen.average_run_seconds, seen.p95_run_seconds)),
            ("measured since", _moment(screen, seen.since)),
            ("failure rate", None if seen.failure_rate is None else f"{seen.failure_rate:.1%}"),
            ("counted since", _moment(screen, seen.failures_since)),
            ("unreadable", ", ".join(seen.unreadable) or None),
        ]
    )


def show_summary(screen: Screen, seen: DashboardSummary) -> None:
    """Write the summary of the dashboard."""
    estimated = "" if seen.exact else " (estimated)"
    screen.show(
        facts(
            [
                ("jobs running", f"{seen.jobs_running}{estimated}"),
                ("failed today", text(seen.failed_today, "red" if seen.failed_today else "")),
                ("deployments today", seen.deployments_today),
                ("today began", instant(seen.today_since)),
                ("jobs", counts(seen.jobs_by_status)),
                ("deployments", counts(seen.deployments_by_status)),
                ("unreadable", ", ".join(key for _, key in seen.unreadable) or None),
            ]
        )
    )
    if seen.recent_jobs:
        screen.show("", text("newest jobs", "bold"), jobs_table(screen, seen.recent_jobs))
    if seen.recent_deployments:
        shown = deployments_table(screen, seen.recent_deployments)
        screen.show("", text("newest deployments", "bold"), shown)


def counts(numbers: Mapping[_Status, int]) -> Text:
    """Return the counts that are not 0, in their colours."""
    parts: list[Text] = []
    for name, number in numbers.items():
        if number:
            parts.append(Text.assemble(f"{number} ", status(name.value)))
    return Text(", ").join(parts) if parts else text("none", "dim")


def _moment(screen: Screen, at: datetime) -> str:
    return f"{instant(at)} ({screen.age(at)} ago)"


def _measured(average: float | None, p95: float | None) -> str | None:
    if average is None:
        return None
    return f"{span(average)} on average, 95 % within {span(p95)}"
