"""What pytest learns of the suite: how hard to try.

Every pytest that runs beside an installed ``cicd-core`` loads this module, so it imports nothing
that such a run does not need.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pytest

#: The option, and how many histories each test records without it.
OPTION: Final = "--cicd-histories"
DEFAULT_HISTORIES: Final = 8


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("cicd-core", "cicd-core: conformance of stores")
    group.addoption(
        OPTION,
        type=_number,
        default=DEFAULT_HISTORIES,
        metavar="N",
        help=f"random concurrent histories that a test records and checks ({DEFAULT_HISTORIES})",
    )


def histories_of(config: pytest.Config) -> int:
    """Return how many histories each test shall record, also where this is not loaded."""
    return config.getoption(OPTION, default=None) or DEFAULT_HISTORIES


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} was refused: give 1 or more")
    return int(text)
