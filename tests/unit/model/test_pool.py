"""How large a pool may be."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput
from cicd_core.model.agent import MAX_SLOTS
from cicd_core.model.pool import MAX_AGENTS, PoolSpec, checked

SPEC = PoolSpec(pool_name="linux", min_agents=2, max_agents=8)


@pytest.mark.parametrize(
    "spec",
    [
        PoolSpec(pool_name="linux"),
        PoolSpec(pool_name="paused", max_agents=0),
        evolve(SPEC, min_agents=8, target_agents=8, warm_agents=8),
        evolve(SPEC, target_agents=2, slots_per_agent=MAX_SLOTS, max_agents=MAX_AGENTS),
        evolve(SPEC, region="eu-west", zone="eu-west-1a", description="for builds\n"),
    ],
)
def test_a_spec_that_is_right_comes_back_as_it_is(spec: PoolSpec) -> None:
    assert checked(spec) == spec


def test_metadata_is_sorted() -> None:
    assert list(checked(evolve(SPEC, metadata={"b": "2", "a": "1"})).metadata) == ["a", "b"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pool_name", "no name"),
        ("region", ""),
        ("zone", "a b"),
        ("min_agents", -1),
        ("min_agents", 9),
        ("max_agents", -1),
        ("max_agents", MAX_AGENTS + 1),
        ("max_agents", 2.5),
        ("target_agents", 1),
        ("target_agents", 9),
        ("warm_agents", -1),
        ("warm_agents", 9),
        ("slots_per_agent", 0),
        ("slots_per_agent", MAX_SLOTS + 1),
        ("description", None),
        ("metadata", "text"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, **{field: value}))
    assert refused.value.field == field


def test_a_minimum_above_the_maximum_names_both() -> None:
    with pytest.raises(InvalidInput, match="give at most max_agents, 8"):
        checked(evolve(SPEC, min_agents=9))
