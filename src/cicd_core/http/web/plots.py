"""Small plots: the positions of their marks, in the units of an SVG's view box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.http.web.looks import duration
from cicd_core.queueing.measures import FAILURES
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.control_plane.activity import DayOfActivity, HourOfActivity

HEIGHT: Final = 64.0
#: Width of the space of one bar, and of the bar in it.
STEP: Final = 20.0
_BAR: Final = 14.0
#: Minimum height of a bar whose value is not 0.
_LEAST: Final = 1.5


@frozen
class Bar:
    """A bar; ``tone`` is the class of its colour."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    #: The text for the pointer.
    label: str


@frozen
class Plot:
    """A plot with its largest value."""

    bars: tuple[Bar, ...]
    width: float
    #: None: nothing was measured.
    most: float | None
    #: The labels below the first and the last bar.
    first: str
    last: str


def ended_by_hour(hours: Sequence[HourOfActivity]) -> Plot:
    """Return the plot of the jobs ended in each hour: successes, and failures on top."""
    counts = [
        (
            hour.ended.get("success", 0),
            sum(hour.ended.get(result, 0) for result in FAILURES),
            hour.ended.get("cancelled", 0),
        )
        for hour in hours
    ]
    most = max((sum(each) for each in counts), default=0) or None
    bars: list[Bar] = []
    for number, (hour, (good, bad, stopped)) in enumerate(zip(hours, counts, strict=True)):
        label = f"{hour.begin:%H:%M} UTC: {good} succeeded, {bad} failed, {stopped} cancelled"
        y = HEIGHT
        for value, tone in ((good, "ok"), (bad, "bad"), (stopped, "off")):
            height = _height(value, most)
            y -= height
            if value:
                bars.append(Bar(number * STEP + 3, round(y, 1), _BAR, height, tone, label))
    return _plot(bars, len(hours), most, f"{hours[0].begin:%H:%M}", f"{hours[-1].begin:%H:%M}")


def waits_by_day(days: Sequence[DayOfActivity]) -> Plot:
    """Return the plot of the 95th percentile of waits, by day."""
    return _by_day(days, [day.p95_wait_seconds for day in days], "waited up to", "warn")


def runs_by_day(days: Sequence[DayOfActivity]) -> Plot:
    """Return the plot of the average duration of attempts, by day."""
    return _by_day(days, [day.average_run_seconds for day in days], "ran", "run")


def _by_day(
    days: Sequence[DayOfActivity], values: Sequence[float | None], verb: str, tone: str
) -> Plot:
    most = max((value for value in values if value is not None), default=None)
    bars = [
        Bar(
            number * STEP + 3,
            round(HEIGHT - _height(value, most), 1),
            _BAR,
            _height(value, most),
            tone,
            f"{day.begin:%d %b}: {verb} {duration(value)}",
        )
        for number, (day, value) in enumerate(zip(days, values, strict=True))
        if value
    ]
    return _plot(bars, len(days), most, f"{days[0].begin:%d %b}", f"{days[-1].begin:%d %b}")


def _height(value: float, most: float | None) -> float:
    return round(max(_LEAST, value / most * (HEIGHT - 2)), 1) if value and most else 0.0


def _plot(bars: Sequence[Bar], number: int, most: float | None, first: str, last: str) -> Plot:
    return Plot(tuple(bars), number * STEP, most, first, last)
