"""The suite and the lockstep machine find out about stores that make one mistake each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import store_machine
from tests.conformance import faulty_owners as owners
from tests.conformance import faulty_writes as writes
from tests.conformance.endings import endings
from tests.conformance.faulty_suites import FaultyHarness
from tests.conformance.mistakes import FAULTY, found_by, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

SUITES: Final = Path(__file__).with_name("faulty_suites.py")
FOUND_BY: Final = found_by()

#: What one caller, on a clock that a test moves, can tell from the memory store.
FOUND_IN_LOCKSTEP: Final = [
    writes.ForgetsCommits,
    writes.ForgetsLeases,
    writes.IgnoresBounds,
    writes.KeepsRecordsTooLong,
    writes.LosesEvents,
    writes.LosesIncrements,
    writes.LosesWhatWasRead,
    writes.Miscounts,
    writes.PagesInOneDirection,
    writes.WritesWhatFits,
    owners.ClaimsFromOnePartition,
    owners.ClaimsOutOfOrder,
    owners.ForgetsGuards,
    owners.ForgetsThePatch,
    owners.RenewsForAnybody,
    owners.RenewsTooLong,
    owners.WaitsForever,
]


def test_the_guide_tells_of_the_same_mistakes() -> None:
    assert [row.mistake for row in rows()] == list(FAULTY)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], set[str]]:
    """How the tests that the guide names ended, by store and test."""
    pairs = {(FAULTY[mistake], test) for mistake, tests in FOUND_BY.items() for test in tests}
    sound = {(MemoryBackend, test) for _, test in pairs}
    chosen = [f"{SUITES}::Test{store.__name__}::{test}" for store, test in pairs | sound]
    return endings(*sorted(chosen), number=len(chosen))


@pytest.mark.parametrize("mistake", FAULTY)
def test_the_suite_finds_each_mistake_where_the_guide_says(
    told: dict[tuple[str, str], set[str]], mistake: str
) -> None:
    assert FOUND_BY[mistake]
    missed = [
        test for test in FOUND_BY[mistake] if "FAILED" not in told[FAULTY[mistake].__name__, test]
    ]
    assert not missed


def test_a_store_without_a_mistake_passes_all_of_these(
    told: dict[tuple[str, str], set[str]],
) -> None:
    assert results_of(told, MemoryBackend.__name__) == {"PASSED"}


def results_of(told: dict[tuple[str, str], set[str]], store: str) -> set[str]:
    """How the tests over one store ended."""
    results: Iterable[set[str]] = (each for (name, _), each in told.items() if name == store)
    return set().union(*results)


@pytest.mark.thorough
@pytest.mark.parametrize("broken", FOUND_IN_LOCKSTEP)
def test_the_machine_finds_a_broken_store(broken: type[MemoryBackend]) -> None:
    machine = store_machine(lambda: FaultyHarness(broken))
    trying = settings(
        max_examples=300,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],  # that it fails is enough: a small example helps nobody here
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=trying)
