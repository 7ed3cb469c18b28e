"""The suite tells a push from a poll, and finds a store that trusts its client's wall clock."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.conformance.endings import endings

SUITES: Final = Path(__file__).with_name("client_suites.py")
PUSHED: Final = {
    "test_a_commit_of_another_handle_is_pushed_to_a_waiter",
    "test_a_claim_of_another_handle_is_pushed_to_a_waiter",
}
#: What a store can't pass that goes by the wall clock of the process.
ON_THE_CLIENTS_CLOCK: Final = {
    "test_a_set_wall_clock_does_not_move_elapsed_time",
    "test_a_set_wall_clock_drops_no_record_and_no_event",
    "test_a_set_wall_clock_neither_ends_nor_extends_a_lease",
}


@pytest.fixture(scope="module")
def results() -> dict[tuple[str, str], set[str]]:
    """How the tests ended, by store and test."""
    chosen = " or ".join(PUSHED | ON_THE_CLIENTS_CLOCK)
    number = 6 * len(PUSHED | ON_THE_CLIENTS_CLOCK)
    return endings("-k", chosen, str(SUITES), number=number)


def failed(results: dict[tuple[str, str], set[str]], store: str) -> set[str]:
    return {test for (name, test), each in results.items() if name == store and "FAILED" in each}


@pytest.mark.thorough
def test_a_store_that_pushes_and_keeps_its_own_time_passes(
    results: dict[tuple[str, str], set[str]],
) -> None:
    assert failed(results, "Steady") == set()


@pytest.mark.thorough
@pytest.mark.parametrize("store", ["Polling", "PollingInAThread", "PollingByAnEvent"])
def test_a_store_that_polls_is_told_from_one_that_pushes(
    results: dict[tuple[str, str], set[str]], store: str
) -> None:
    assert failed(results, store) == PUSHED


@pytest.mark.parametrize(
    "store", ["TrustsTheWallClock", pytest.param("TrustsTheDate", marks=pytest.mark.thorough)]
)
def test_a_store_that_trusts_its_clients_wall_clock_is_found(
    results: dict[tuple[str, str], set[str]], store: str
) -> None:
    assert failed(results, store) == ON_THE_CLIENTS_CLOCK
