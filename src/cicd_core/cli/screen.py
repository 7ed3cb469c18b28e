"""The terminal: how wide it is, what is coloured, and how values look in a cell."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cicd_core.cli.printable import printable

#: The width for a file or a pipe, where nothing has to fit.
_UNBOUNDED: Final = 200
#: From here on a table has room for what is good to know.
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
    "CRITICAL": "bold red",
    "HIGH": "yellow",
    "LOW": "bright_black",
}


class _Pipe(Console):
    def on_broken_pipe(self) -> None:
        """Leave the exit code to us."""
        raise BrokenPipeError


class Screen:
    """Stdout for people, as of a moment on the store's clock."""

    def __init__(self, now: datetime) -> None:
        """Look at the terminal once."""
        bounded = sys.stdout.isatty() or "COLUMNS" in os.environ
        self.now = now
        self.console = _Pipe(highlight=False, width=None if bounded else _UNBOUNDED)

    @property
    def wide(self) -> bool:
        """Whether there is room for more columns than the needed ones."""
        return self.console.width >= _WIDE

    def show(self, *parts: RenderableType) -> None:
        """Write them, one below the other; a plain string stands as it is."""
        for part in parts:
            shown = text(part) if isinstance(part, str) else part
            self.console.print(shown, soft_wrap=isinstance(part, str))

    def age(self, instant: datetime | None) -> str:
        """Return how long ago something was, or ``in 5m`` for what is to come."""
        if instant is None:
            return ""
        passed = (self.now - instant).total_seconds()
        return span(passed) if passed > -1 else f"in {span(-passed)}"


def text(value: object, style: str = "") -> Text:
    """Return a value as it stands, without markup and without control characters."""
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
    if passed < 10:  # noqa: PLR2004 - below that, a tenth matters
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
        headers: of the columns.
        right: the columns with numbers.
        fold: the columns that take several lines where there is no room; the last one does too.
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
    """Return names and values below each other; those without a value are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        if value is None or value == "":
            continue
        grid.add_row(name, value if isinstance(value, Text) else text(value))
    return grid
