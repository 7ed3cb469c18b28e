"""Renders a log as markup for a page: colours as classes, progress bars in their last state.

The markup is escaped text in ``<span class="…">`` elements. It has no attribute but ``class``, and
only the classes listed here. Put it into a ``<pre>``, and add styles for the classes to the
stylesheet of the page:

========================================  ==========================================================
``ansi-bold``, ``ansi-dim``, …            see :data:`ATTRIBUTES`
``ansi-fg-0`` to ``ansi-fg-15``           the text colour: 0 to 7 are black, red, green, yellow,
                                          blue, magenta, cyan and white, 8 to 15 bright ones
``ansi-bg-0`` to ``ansi-bg-15``           the background colour
``log-binary``                            the replacement of lines that are not text
========================================  ==========================================================
"""

from __future__ import annotations

import re
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Final

from cicd_core.job_logs.ansi import PLAIN, Style, restyled
from cicd_core.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Commands of a terminal: CSI with its parameters and final character; OSC, DCS and similar ones up
#: to their end; two characters; and an unfinished command.
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|(?=\x1b)|\Z)"
    r"|[ -/]*[0-Z\\^-~]"
    r"|\[[0-?]*[ -/]*|)"
)
#: Characters and commands that move the cursor of a terminal.
_MOVES: Final = re.compile(r"[\r\b]|\x1b\[[0-?]*[ -/]*[CDGK]")
_WRITTEN: Final = re.compile(r"[^\r\b\x1b]+")
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")
#: The last column that a command may move to: skipped columns are filled with spaces.
_LAST_COLUMN: Final = 200
#: Control characters that are usual in the text of a terminal.
_USUAL: Final = b"\x07\b\t\n\v\f\r\x1b"
_CONTROLS: Final = bytes(code for code in range(0x20) if code not in _USUAL) + b"\x7f"
#: A line is not text if more than one byte in this many is a control character or not UTF-8.
_ONE_IN: Final = 4

#: The parameter that erases the whole line.
_ALL: Final = 2

_Cells = list[tuple[str, Style]]


def render_log(data: bytes) -> str:
    """Return the markup of a part of a log; the part must begin at the start of a line.

    Bytes that are not UTF-8 become U+FFFD. As on a terminal, text overwritten after a carriage
    return is left out. Lines that are not text are counted, not shown. Cost: linear in the length.
    """
    markup: list[str] = []
    style = PLAIN
    for is_binary, lines in groupby(_LINE.findall(data), _is_binary):
        if is_binary:
            size = sum(map(len, lines))
            markup.append(f'<span class="log-binary">[binary data: {size} bytes]</span>\n')
            continue
        for line in lines:
            shown, style = _line(line.decode("utf-8", "replace"), style)
            markup.append(shown)
    return "".join(markup)


def _is_binary(line: bytes) -> bool:
    """Return whether a line is not text: it has a NUL, or many bytes that are not characters."""
    if b"\0" in line:
        return True
    odd = len(line) - len(line.translate(None, _CONTROLS))
    try:
        line.decode()
    except UnicodeDecodeError:
        odd += line.decode("utf-8", "replace").count("\N{REPLACEMENT CHARACTER}")
    return odd * _ONE_IN > len(line)


def _line(line: str, style: Style) -> tuple[str, Style]:
    """Return the markup of a line, and the style at the start of the next one."""
    text = line.rstrip("\r\n")
    end = "\n" if line[len(text) :] else ""
    parts = _overwritten(text, style) if _MOVES.search(text) else list(_styled(text, style))
    shown = "".join(_span(part, each) for part, each in parts)
    return f"{shown}{end}", _style_after(text, style)


def _style_after(text: str, style: Style) -> Style:
    for found in _ESCAPE.finditer(text):
        if found["final"] == "m":
            style = restyled(style, found["parameters"])
    return style


def _styled(text: str, style: Style) -> Iterator[tuple[str, Style]]:
    """Yield the parts of a text without cursor movements, each with its style."""
    place = 0
    for found in _ESCAPE.finditer(text):
        if found.start() > place:
            yield text[place : found.start()], style
        place = found.end()
        if found["final"] == "m":
            style = restyled(style, found["parameters"])
    if place < len(text):
        yield text[place:], style


def _overwritten(text: str, style: Style) -> list[tuple[str, Style]]:
    """Return what a terminal shows of a line that overwrites parts of itself."""
    cells: _Cells = []
    column = place = 0
    while place < len(text):
        if command := _ESCAPE.match(text, place):
            place = command.end()
            if command["final"] == "m":
                style = restyled(style, command["parameters"])
            elif command["final"] is not None:
                column = _moved(cells, column, command["final"], command["parameters"])
            continue
        written = _WRITTEN.match(text, place)
        part = text[place] if written is None else written[0]
        place += len(part)
        if part == "\r":
            column = 0
        elif part == "\b":
            column = max(0, column - 1)
        else:
            cells.extend([(" ", PLAIN)] * (column - len(cells)))
            cells[column : column + len(part)] = [(character, style) for character in part]
            column += len(part)
    grouped = groupby(cells, lambda cell: cell[1])
    return [("".join(cell[0] for cell in group), each) for each, group in grouped]


def _moved(cells: _Cells, column: int, final: str, parameters: str) -> int:
    """Apply a command that moves or erases within the line; return the column after it."""
    digits = parameters if parameters.isdecimal() and len(parameters) < 6 else ""  # noqa: PLR2004 - more is beyond every line
    number = int(digits or 0)
    if final == "K":
        if number == 0:
            del cells[column:]
        elif number == _ALL:  # otherwise a far column would be filled with spaces each time
            cells.clear()
            return min(column, _LAST_COLUMN)
        return column
    steps = max(1, number)
    places = {"C": column + steps, "D": column - steps, "G": steps - 1}
    limit = max(column, _LAST_COLUMN)
    return max(0, min(places.get(final, column), limit))


def _span(text: str, style: Style) -> str:
    shown = escape(printable(text))
    classes = style.classes
    return f'<span class="{classes}">{shown}</span>' if classes and shown else shown
