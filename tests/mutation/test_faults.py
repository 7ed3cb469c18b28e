"""Faults written by hand fit the sources of today, and the suite finds some of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.testing import StoreConformance
from tests.dynamodb.engines import engines
from tests.mutation.by_hand import ENGINES, Copy

if TYPE_CHECKING:
    from tests.mutation.faults import Fault

FAULTS = [fault for engine in ENGINES.values() for fault in engine.faults]
#: A few of each class: what is read, claimed, committed, renewed, counted, kept and told.
SOME = {
    "sqlite": (
        "a claim takes the first of some partitions",
        "partitions without case in counts",
        "an increment replaces the sum",
        "a gap is not said",
    ),
    "redis": (
        "a repetition takes more",
        "a repetition answers the version of now",
        "a renewal moves every deadline",
        "every hundred events one is lost",
    ),
    "dynamodb": (
        "a creation writes over what is there",
        "a patch removes nothing",
        "a renewal passes the limit",
    ),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_made_and_names_a_test_of_the_suite(fault: Fault) -> None:
    assert fault.new in fault.altered()
    assert hasattr(StoreConformance, fault.test)


def test_no_two_faults_of_an_engine_are_one() -> None:
    for engine in ENGINES.values():
        names = [fault.name for fault in engine.faults]
        assert len(set(names)) == len(names)
        assert len({fault.altered() for fault in engine.faults}) == len(names)


@pytest.mark.thorough
@pytest.mark.parametrize("name", SOME)
def test_the_suite_finds_some_faults_of_each_class(name: str) -> None:
    if name == "dynamodb" and not engines():
        pytest.skip("no engine of DynamoDB is there")
    engine = ENGINES[name]
    chosen = [fault for fault in engine.faults if fault.name in SOME[name]]
    assert len(chosen) == len(SOME[name])
    with Copy.of(engine) as copy:
        copy.insist_on_the_original(chosen)
        verdicts = {fault.name: copy.judged(fault) for fault in chosen}
    assert verdicts == dict.fromkeys(SOME[name], "killed")
