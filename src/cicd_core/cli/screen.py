"""The terminal: its width, colours, and the form of values in cells."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cicd_core.printable import printable

#: The width for a file or a pipe, which need no limit.
_UNBOUNDED: Final = 200
#: Width from which a table shows optional columns.
_WIDE: Final = 110

_STYLES: Final = {
    "success": "green",
    "live": "green",
    "healthy": "green",
    "running": "cyan",
    "claimed": "cyan",
    "staging": "cyan",
    "production": "cyan",
    "staged": "cyan",
    "queued": "yellow",
    "pending": "yellow",
    "registering": "yellow",
    "degraded": "yellow",
    "failed": "red",
    "error": "red",
    "timeout": "red",
    "dead_lettered": "bold red",
    "unhealthy": "red",
    "offline": "red",
    "rolled_back": "magenta",
    "cancelled": "bright_black",
    "terminating": "magenta",
    "terminated": "bright_black",
    "empty": "bright_black",
    "critical": "bold red",
    "high": "yellow",
    "low": "bright_black",
}


class _Pipe(Console):
    def on_broken_pipe(self) -> None:
        """Leave the exit code to the program."""
        raise BrokenPipeError


class Screen:
    """Stdout, or stderr, for people, at a time of the store's clock."""

    def __init__(self, now: datetime, *, stderr: bool = False) -> None:
        """Read the properties of the terminal."""
        stream = sys.stderr if stderr else sys.stdout
        bounded = stream.isatty() or "COLUMNS" in os.environ
        width = None if bounded else _UNBOUNDED
        self.now = now
        self.console = _Pipe(highlight=False, width=width, stderr=stderr)

    @property
    def wide(self) -> bool:
        """Whether there is room for optional columns."""
        return self.console.width >= _WIDE

    def show(self, *parts: RenderableType) -> None:
        """Write them, one below the other; a plain string is unchanged."""
        for part in parts:
            shown = text(part) if isinstance(part, str) else part
            self.console.print(shown, soft_wrap=isinstance(part, str))

    def age(self, instant: datetime | None) -> str:
        """Return the time since an event, or ``in 5m`` for the future."""
        if instant is None:
            return ""
        passed = (self.now - instant).total_seconds()
        return span(passed) if passed > -1 else f"in {span(-passed)}"


def text(value: object, style: str = "") -> Text:
    """Return a value as text, without markup and control characters."""
    return Text("" if value is None else printable(str(value)), style)


def line(value: object, style: str = "") -> Text:
    """Return a value in one line."""
    return text(" ".join(str(value if value is not None else "").split()), style)


def status(value: str) -> Text:
    """Return a status in its colour."""
    return text(value.replace("dead_lettered", "dead letter"), _STYLES.get(value, ""))


def span(passed: float | None) -> str:
    """Return a duration in at most two units, such as ``250ms``, ``4.2s``, ``3m 5s``, ``2d 4h``."""
    if passed is None:
        return ""
    if passed < 1:
        return f"{max(0, passed) * 1000:.0f}ms"
    if passed < 10:  # noqa: PLR2004 - below that, tenths matter
        return f"{passed:.1f}s"
    whole = int(passed)
    for size, name, smaller, rest in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "m"),
        (60, "m", 1, "s"),
    ):
        if whole >= size:
            left = whole % size // smaller
            return f"{whole // size}{name} {left}{rest}" if left else f"{whole // size}{name}"
    return f"{whole}s"


def instant(value: datetime | None) -> str:
    """Return an instant in UTC, to the second."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%SZ}"


def table(*headers: str, right: Iterable[str] = (), fold: Iterable[str] = ()) -> Table:
    """Return an empty table.

    Args:
        headers: the headers of the columns.
        right: the columns with numbers.
        fold: the columns that may wrap; the last one always may.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    folded = {*fold, headers[-1]}
    for header in headers:
        made.add_column(
            header,
            justify="right" if header in right else "left",
            no_wrap=header not in folded,
            overflow="fold" if header in folded else "ellipsis",
        )
    return made


def facts(rows: Iterable[tuple[str, object]]) -> Table:
    """Return names and values below each other, without names that have no value."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        if value is None or value == "":
            continue
        grid.add_row(name, value if isinstance(value, Text) else text(value))
    return grid
