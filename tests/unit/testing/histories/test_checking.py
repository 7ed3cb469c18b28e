"""Histories that are right are explained; with one fault in them, they are not."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.testing.histories import History, check_history
from tests.unit.testing.histories.tampering import FAULTS
from tests.unit.testing.histories.writing import sequential_recording, spread

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = range(12)


@pytest.fixture(scope="module")
def recordings() -> list[list[Any]]:
    """What clients that take turns see, in the order in which it happened."""
    plans: list[dict[str, Any]] = [{"hot_records": 2}, {"hot_records": 0}, {"claim_limit": 1}]
    return [
        list(sequential_recording(seed, 120, **plans[seed % 3]).history.operations)
        for seed in SEEDS
    ]


@pytest.mark.parametrize("width", [4, 30, 100])
def test_what_one_order_explains_is_accepted(recordings: list[list[Any]], width: int) -> None:
    for operations in recordings:
        history = History(spread(operations, Random(width), width))
        assert check_history(history) == ()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_found(
    recordings: list[list[Any]], fault: Callable[[Random, list[Any]], list[Any] | None]
) -> None:
    tried = 0
    for seed, operations in enumerate(recordings):
        wrong = fault(Random(seed), operations)
        if wrong is not None:
            tried += 1
            history = History(spread(wrong, Random(seed), width=4))
            assert check_history(history), f"not found with seed {seed}"
    assert tried
