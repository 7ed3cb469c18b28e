"""The suite's output in pytest: readable failures, and a table of costs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import pytest
from attrs import asdict

from cicd_core.testing.failures import explain, promise_of, readable, surfaced, table
from cicd_core.testing.pytest_plugin import COSTS, TRACE
from cicd_core.testing.tracing import Cost, Trace, added_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _pytest.terminal import TerminalReporter  # where pytest has it for type checkers

#: The most suites for which each verb has a line.
_FEW: Final = 2


def explain_failure(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Add the promise, the request and the answer to the error of a test or its fixtures."""
    if call.excinfo is None:
        return
    error = surfaced(call.excinfo.value)
    if not isinstance(error, pytest.skip.Exception | pytest.exit.Exception | KeyboardInterrupt):
        calls = _trace_of(item).calls
        error = readable(error, calls)
        explain(error, promise_of(item.name), _topic_of(item), calls)
    if error is not call.excinfo.value:
        call.excinfo = pytest.ExceptionInfo[BaseException].from_exception(error)


def add_costs(item: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport) -> None:
    """Add the costs of a test to its report, which also comes from other processes."""
    costs = _trace_of(item).costs
    if call.when == "teardown" and costs:
        plain = {verb: asdict(cost) for verb, cost in costs.items()}
        setattr(report, COSTS, [item.parent.name if item.parent else "", item.name, plain])


def print_costs(terminal: TerminalReporter, reports: Iterable[object]) -> None:
    """Print how many calls each suite made of each verb, and how long they took."""
    suites: dict[str, list[tuple[str, dict[str, Cost]]]] = defaultdict(list)
    for report in reports:
        if found := getattr(report, COSTS, None):
            suite, test, plain = found
            suites[suite].append((test, {verb: Cost(**cost) for verb, cost in plain.items()}))
    terminal.section("cicd-core: calls to the stores, and how long they took", sep="-")
    rows: list[tuple[str, ...]] = [("suite", "verb", "calls", "mean ms", "longest ms", "in")]
    for suite, tests in sorted(suites.items()):
        total = added_up(costs for _, costs in tests)
        verbs = total if len(suites) <= _FEW else {"all": _all_of(total)}
        rows += [_row(suite, verb, cost, tests) for verb, cost in sorted(verbs.items())]
    for line in table(rows):
        terminal.line(line)


def _row(
    suite: str, verb: str, cost: Cost, tests: Iterable[tuple[str, Mapping[str, Cost]]]
) -> tuple[str, ...]:
    longest = next(
        (test for test, costs in tests for item in costs.values() if item.longest == cost.longest),
        "",
    )
    mean = 1000 * cost.seconds / cost.calls
    return (suite, verb, f"{cost.calls:,}", f"{mean:.2f}", f"{1000 * cost.longest:.1f}", longest)


def _all_of(costs: Mapping[str, Cost]) -> Cost:
    total = Cost()
    for cost in costs.values():
        total.add(cost)
    return total


def _trace_of(item: pytest.Item) -> Trace:
    return getattr(item, TRACE, None) or Trace()


def _topic_of(item: pytest.Item) -> str:
    """Return the suite's class of a test."""
    name = getattr(item, "originalname", item.name)
    found = (one.__name__ for one in getattr(item, "cls", object).__mro__ if name in vars(one))
    return next(found, "")
