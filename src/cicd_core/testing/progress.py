"""Progress of a long test: a line at intervals, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: How many lines a run of the machine reports.
LINES: Final = 10

_show: list[Callable[[str], None]] = []


def show_with(show: Callable[[str], None]) -> None:
    """Show each line from now on with ``show``."""
    _show[:] = [show]


def report(line: str) -> None:
    """Show a line, if a function to show it is set."""
    for show in _show:
        show(line)


class Examples:
    """Counts the examples of a machine, and reports after each tenth of them."""

    def __init__(self, machine: str) -> None:
        """Begin at 0; ``machine`` names it in the lines."""
        self._machine = machine
        self._examples = 0
        self._steps = 0

    def add(self, steps: int, most: int) -> None:
        """Count an example with its number of steps; ``most`` is the planned number of examples."""
        self._examples += 1
        self._steps += steps
        if not self._examples % max(1, most // LINES):
            counted = f"{self._examples:,} of {most:,} examples, {self._steps:,} steps"
            report(f"{self._machine}: {counted}")
