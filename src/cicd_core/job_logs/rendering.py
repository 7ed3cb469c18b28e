"""A log as markup for a page: colours as classes, progress bars as their last state.

The markup is text, with every character of HTML escaped, and ``<span class="…">`` around it; no
attribute but ``class`` is ever written, and no class that is not named here. Put it into a
``<pre>``; styles for the classes belong into the page's own stylesheet:

========================================  ==========================================================
``ansi-bold``, ``ansi-dim``, …            see :data:`ATTRIBUTES`
``ansi-fg-0`` to ``ansi-fg-15``           the colour of the text: 0 to 7 are black, red, green,
                                          yellow, blue, magenta, cyan and white, 8 to 15 bright ones
``ansi-bg-0`` to ``ansi-bg-15``           that of the background
``log-binary``                            what stands for lines that are no text
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

#: What a terminal takes as a command: CSI with its parameters and its end; OSC, DCS and the like up
#: to their ends; two characters; and what begins as one of these and does not end.
_ESCAPE: Final = re.compile(
    r"\x1b(?:\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|(?=\x1b)|\Z)"
    r"|[ -/]*[0-Z\\^-~]"
    r"|\[[0-?]*[ -/]*|)"
)
#: What moves the place where a terminal writes.
_MOVES: Final = re.compile(r"[\r\b]|\x1b\[[0-?]*[ -/]*[CDGK]")
_WRITTEN: Final = re.compile(r"[^\r\b\x1b]+")
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")
#: The last column that a command may move to: what it passes over is filled with spaces.
_LAST_COLUMN: Final = 200
#: Bytes below the space that texts of terminals have in them.
_USUAL: Final = b"\x07\b\t\n\v\f\r\x1b"
_CONTROLS: Final = bytes(code for code in range(0x20) if code not in _USUAL) + b"\x7f"
#: Of how many bytes one must be a control character, or none of UTF-8, in a line that is no text.
_ONE_IN: Final = 4

#: How a command says that it erases all of the line.
_ALL: Final = 2

_Cells = list[tuple[str, Style]]


def render_log(data: bytes) -> str:
    """Return the markup of a part of a log that begins with a line.

    Bytes that are no UTF-8 become U+FFFD. What a carriage return wrote over is left out, as on a
    terminal. Lines that are no text are counted, not shown. The cost grows with the length alone.
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
    """Whether a line is no text: it has a NUL in it, or much that is no character of a text."""
    if b"\0" in line:
        return True
    odd = len(line) - len(line.translate(None, _CONTROLS))
    try:
        line.decode()
    except UnicodeDecodeError:
        odd += line.decode("utf-8", "replace").count("\N{REPLACEMENT CHARACTER}")
    return odd * _ONE_IN > len(line)


def _line(line: str, style: Style) -> tuple[str, Style]:
    """Return the markup of a line, and the style in which the next one begins."""
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
    """Yield the parts of a text that has no command but colours, each with its style."""
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
    """Return what a terminal shows of a line in which it writes over what it wrote."""
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
    """Do a command that moves or erases within the line; return the column after it."""
    digits = parameters if parameters.isdecimal() and len(parameters) < 6 else ""  # noqa: PLR2004 - more is beyond every line
    number = int(digits or 0)
    if final == "K":
        if number == 0:
            del cells[column:]
        elif number == _ALL:  # a column far to the right would be filled with spaces each time
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
