"""The pytest plugin of the suite: its effort options, and readable failures.

Every run of pytest with ``cicd-core`` installed loads this module, so it imports nothing that such
a run does not need.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from pluggy import HookimplMarker

from cicd_core.testing.progress import show_with

if TYPE_CHECKING:
    from collections.abc import Generator

    import pytest
    from _pytest.terminal import TerminalReporter  # where pytest has it for type checkers

hookimpl = HookimplMarker("pytest")

#: The option, and the number of histories that each test records without it.
OPTION: Final = "--cicd-histories"
DEFAULT_HISTORIES: Final = 8
#: The attribute that marks a class of the suite.
SUITE: Final = "is_of_the_cicd_suite"
#: The attribute with a test's trace, and with a report's costs of calls.
TRACE: Final = "cicd_trace"
COSTS: Final = "cicd_costs"


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


@hookimpl(trylast=True)  # when there is a terminal
def pytest_configure(config: pytest.Config) -> None:
    """Show the progress of a machine, if there is a terminal."""
    terminal, capture = map(config.pluginmanager.get_plugin, ("terminalreporter", "capturemanager"))
    if terminal is None or terminal.verbosity < 0:  # for example in a worker of pytest-xdist
        return

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            terminal.ensure_newline()
            terminal.write_line(line)

    show_with(show)


def histories_of(config: pytest.Config) -> int:
    """Return how many histories each test records, even if this plugin is not loaded."""
    return config.getoption(OPTION, default=None) or DEFAULT_HISTORIES


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} was refused: give 1 or more")
    return int(text)


@hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Explain a failure of the suite, and add the costs of its calls to the report."""
    if not _is_of_the_suite(item):
        return (yield)
    from cicd_core.testing import showing  # noqa: PLC0415 - imported where the suite is already

    showing.explain_failure(item, call)
    report = yield
    showing.add_costs(item, call, report)
    return report


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the cost of the suite's calls."""
    reports = [item for group in terminalreporter.stats.values() for item in group]
    if terminalreporter.verbosity < 0 or not any(hasattr(report, COSTS) for report in reports):
        return
    from cicd_core.testing import showing  # noqa: PLC0415 - imported where the suite is already

    showing.print_costs(terminalreporter, reports)


def _is_of_the_suite(item: Any) -> bool:
    return getattr(getattr(item, "cls", None), SUITE, False)
