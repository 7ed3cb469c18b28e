"""The suite finds mistakes that lie between its plainer tests, over two stores."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import store_machine
from cicd_core.testing.passing_store import PassingStore
from tests.conformance.endings import endings
from tests.conformance.faulty_engines import AddsItsUncertainty, ForgetsItsUncertainty
from tests.conformance.faulty_suites import FaultyHarness
from tests.conformance.subtle_mistakes import ALTERED, ENGINES

SUITES: Final = Path(__file__).with_name("altered_suites.py")
#: The suite that must fail, and the test of it that does.
MISTAKES: Final = [
    *((store.__name__, test) for store, test in ENGINES.items()),
    *((store.__name__, test) for store, test in ALTERED.items()),
    *((f"SQLite{store.__name__}", test) for store, test in ALTERED.items()),
]
SOUND: Final = [
    *((MemoryBackend.__name__, test) for test in {*ENGINES.values(), *ALTERED.values()}),
    *(
        (name, test)
        for test in {*ALTERED.values()}
        for name in (PassingStore.__name__, f"SQLite{PassingStore.__name__}")
    ),
]


@pytest.mark.thorough
def test_the_machine_finds_nothing_in_a_store_that_adds_its_uncertainty() -> None:
    try_in_lockstep(AddsItsUncertainty, examples=60)


def test_the_machine_finds_a_store_that_forgets_its_uncertainty() -> None:
    with pytest.raises(AssertionError):
        try_in_lockstep(ForgetsItsUncertainty, examples=600)  # 121 at most, in 24 tries


def try_in_lockstep(store: type[MemoryBackend], *, examples: int) -> None:
    """Run the machine over a store, until it finds something."""
    trying = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.filter_too_much),
    )
    run_state_machine_as_test(store_machine(lambda: FaultyHarness(store)), settings=trying)


@pytest.mark.thorough
def test_the_suite_finds_each_mistake_and_none_in_sound_stores() -> None:
    # One test, since one process tries them all.
    chosen = sorted(f"{SUITES}::Test{suite}::{test}" for suite, test in {*MISTAKES, *SOUND})
    ended = endings(*chosen, number=len(chosen))
    assert [pair for pair in MISTAKES if "FAILED" not in ended[pair]] == []
    assert [pair for pair in SOUND if ended[pair] != {"PASSED"}] == []
