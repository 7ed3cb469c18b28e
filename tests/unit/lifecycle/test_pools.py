"""A pool is put over the one that was there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from cicd_core.errors import IllegalTransition, InvalidInput
from cicd_core.lifecycle import pools
from cicd_core.model.pool import Pool, PoolSpec, checked

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
SPEC = checked(PoolSpec(pool_name="linux", min_agents=1, max_agents=5, region="eu-west"))


def test_a_new_pool_is_created_as_its_spec_says() -> None:
    decision = pools.put(None, spec=SPEC, now=NOON, by="ann")
    assert decision.value == Pool(
        pool_name="linux",
        created_at=NOON,
        updated_at=NOON,
        region="eu-west",
        min_agents=1,
        max_agents=5,
    )
    (event,) = decision.events
    assert (event.type, event.at) == ("pool.created", NOON)
    assert event.data == {"by": "ann", "min_agents": 1, "max_agents": 5}


def test_a_pool_is_replaced_whole_but_for_the_moment_of_its_creation() -> None:
    before = pools.put(None, spec=SPEC, now=NOON, by="ann").value
    wanted = evolve(SPEC, region=None, max_agents=9, target_agents=3)
    decision = pools.put(before, spec=wanted, now=LATER, by="bob")
    assert (decision.value.region, decision.value.max_agents) == (None, 9)
    assert (decision.value.created_at, decision.value.updated_at) == (NOON, LATER)
    (event,) = decision.events
    assert event.type == "pool.updated"
    assert event.data == {
        "by": "bob",
        "min_agents": 1,
        "max_agents": 9,
        "target_agents": 3,
        "changed": "max_agents, region, target_agents",
    }


def test_the_same_pool_again_changes_nothing() -> None:
    before = pools.put(None, spec=SPEC, now=NOON, by="ann").value
    decision = pools.put(before, spec=SPEC, now=LATER, by="bob")
    assert not decision.changed
    assert decision.value is before


def test_who_asked_must_be_said() -> None:
    with pytest.raises(InvalidInput) as refused:
        pools.put(None, spec=SPEC, now=NOON, by="")
    assert refused.value.field == "by"


def test_an_empty_pool_is_deleted_and_its_event_says_by_whom() -> None:
    event = pools.delete("linux", now=NOON, by="ann", jobs=0, agents=0, force=False)
    assert (event.type, event.at) == ("pool.deleted", NOON)
    assert event.data == {"by": "ann", "jobs": 0, "agents": 0}


@pytest.mark.parametrize(("jobs", "agents"), [(1, 0), (0, 1)])
def test_a_pool_in_use_is_deleted_by_force_alone(jobs: int, agents: int) -> None:
    with pytest.raises(IllegalTransition, match="in use"):
        pools.delete("linux", now=NOON, by="ann", jobs=jobs, agents=agents, force=False)
    event = pools.delete("linux", now=NOON, by="ann", jobs=jobs, agents=agents, force=True)
    assert event.data == {"by": "ann", "jobs": jobs, "agents": agents}
