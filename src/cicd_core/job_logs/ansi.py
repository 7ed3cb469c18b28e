"""The colour commands of terminals (SGR), translated to class names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import Factory

from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The commands that start an attribute, and the class of each.
ATTRIBUTES: Final = {
    1: "ansi-bold",
    2: "ansi-dim",
    3: "ansi-italic",
    4: "ansi-underline",
    7: "ansi-inverse",
    9: "ansi-strike",
}
#: The commands that end attributes.
_ENDS: Final = {22: (1, 2), 23: (3,), 24: (4,), 27: (7,), 29: (9,)}
#: The first command of each range of colours, and the number of its first colour.
_FOREGROUND: Final = ((30, 0), (90, 8))
_BACKGROUND: Final = ((40, 0), (100, 8))
_OF_A_RANGE: Final = 8
_EXTENDED: Final = {38: "foreground", 48: "background"}
_DEFAULT: Final = {39: "foreground", 49: "background"}
#: Red, green and blue of the sixteen colours, as in xterm.
_PALETTE: Final = (
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0)),
    *((0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0)),
    *((92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)),
)
_CUBE_BEGINS: Final = 16
_GREY_BEGINS: Final = 232
_STEPS: Final = (0, 95, 135, 175, 215, 255)
_MOST: Final = 255
_MOST_DIGITS: Final = 4


@frozen
class Style:
    """The style of a text."""

    attributes: frozenset[int] = Factory(frozenset[int])
    #: 0 to 15; None: the default of the page.
    foreground: int | None = None
    background: int | None = None

    @property
    def classes(self) -> str:
        """The class names, separated by spaces."""
        names = [name for code, name in ATTRIBUTES.items() if code in self.attributes]
        if self.foreground is not None:
            names.append(f"ansi-fg-{self.foreground}")
        if self.background is not None:
            names.append(f"ansi-bg-{self.background}")
        return " ".join(names)


PLAIN: Final = Style()


def restyled(style: Style, parameters: str) -> Style:
    """Return the style after a command with these parameters, such as ``1;31``.

    Unknown parameters change nothing. A colour out of 256, or out of 16 million, becomes the most
    similar one of the sixteen.
    """
    codes = iter(_codes(parameters))
    for code in codes:
        if code in _EXTENDED:
            colour = _extended(codes)
            if colour is None:  # the rest may belong to the unknown colour
                return style
            style = _coloured(style, _EXTENDED[code], colour)
        else:
            style = _after(style, code)
    return style


def _codes(parameters: str) -> list[int]:
    parts = parameters.replace(":", ";").split(";")
    return [
        int(part) if part.isascii() and part.isdecimal() and len(part) <= _MOST_DIGITS else -1
        for part in (part or "0" for part in parts)
    ]


def _after(style: Style, code: int) -> Style:
    if code == 0:
        return PLAIN
    if code in ATTRIBUTES:
        return evolve(style, attributes=style.attributes | {code})
    if code in _ENDS:
        return evolve(style, attributes=style.attributes - {*_ENDS[code]})
    if code in _DEFAULT:
        return _coloured(style, _DEFAULT[code], None)
    for name, ranges in (("foreground", _FOREGROUND), ("background", _BACKGROUND)):
        for begin, first in ranges:
            if begin <= code < begin + _OF_A_RANGE:
                return _coloured(style, name, first + code - begin)
    return style


def _coloured(style: Style, name: str, colour: int | None) -> Style:
    if name == "foreground":
        return evolve(style, foreground=colour)
    return evolve(style, background=colour)


def _extended(codes: Iterator[int]) -> int | None:
    """Return the colour of ``38;5;N`` or ``38;2;R;G;B``; None if it is not valid."""
    form = next(codes, -1)
    if form == 5:  # noqa: PLR2004 - one of 256 colours
        number = next(codes, -1)
        return _of_256(number) if 0 <= number <= _MOST else None
    if form == 2:  # noqa: PLR2004 - red, green and blue
        red, green, blue = (next(codes, -1) for _ in range(3))
        if all(0 <= part <= _MOST for part in (red, green, blue)):
            return _nearest(red, green, blue)
    return None


def _of_256(number: int) -> int:
    if number < _CUBE_BEGINS:
        return number
    if number >= _GREY_BEGINS:
        grey = 8 + 10 * (number - _GREY_BEGINS)
        return _nearest(grey, grey, grey)
    rest, blue = divmod(number - _CUBE_BEGINS, 6)
    red, green = divmod(rest, 6)
    return _nearest(_STEPS[red], _STEPS[green], _STEPS[blue])


def _nearest(red: int, green: int, blue: int) -> int:
    def distance(colour: int) -> int:
        r, g, b = _PALETTE[colour]
        return (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2

    return min(range(len(_PALETTE)), key=distance)
