"""A pool is put over the one that was there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from cicd_core.errors import ChangedMeanwhile, IllegalTransition, InvalidInput
from cicd_core.lifecycle import pools
from cicd_core.model.pool import Pool, PoolSpec, checked

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
SPEC = checked(PoolSpec(pool_name="linux", min_agents=1, max_agents=5, region="eu-west"))


def test_a_new_pool_is_created_as_its_spec_says() -> None:
    decision = pools.put(None, spec=SPEC, now=NOON, actor="ann")
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
    assert event.data == {"actor": "ann", "min_agents": 1, "max_agents": 5}


def test_a_pool_is_replaced_whole_but_for_the_moment_of_its_creation() -> None:
    before = pools.put(None, spec=SPEC, now=NOON, actor="ann").value
    wanted = evolve(SPEC, region=None, max_agents=9, target_agents=3)
    decision = pools.put(before, spec=wanted, now=LATER, actor="bob")
    assert (decision.value.region, decision.value.max_agents) == (None, 9)
    assert (decision.value.created_at, decision.value.updated_at) == (NOON, LATER)
    (event,) = decision.events
    assert event.type == "pool.updated"
    assert event.data == {
        "actor": "bob",
        "min_agents": 1,
        "max_agents": 9,
        "target_agents": 3,
        "changed": "max_agents, region, target_agents",
    }


def test_the_same_pool_again_changes_nothing() -> None:
    before = pools.put(None, spec=SPEC, now=NOON, actor="ann").value
    decision = pools.put(before, spec=SPEC, now=LATER, actor="bob")
    assert not decision.changed
    assert decision.value is before


def test_only_the_pool_that_was_expected_is_changed() -> None:
    read = pools.put(None, spec=SPEC, now=NOON, actor="ann").value
    wider = evolve(SPEC, max_agents=9)
    changed = pools.put(read, spec=wider, now=LATER, actor="bob", expected=read).value
    assert changed.max_agents == 9
    assert pools.scale(changed, 2, now=LATER, actor="bob", expected=changed).changed
    for there in (changed, None):
        with pytest.raises(ChangedMeanwhile, match="pool 'linux' was changed since you read it"):
            pools.put(there, spec=SPEC, now=LATER, actor="cid", expected=read)
    with pytest.raises(ChangedMeanwhile):
        pools.scale(changed, 2, now=LATER, actor="cid", expected=read)


def test_who_asked_must_be_said() -> None:
    with pytest.raises(InvalidInput) as refused:
        pools.put(None, spec=SPEC, now=NOON, actor="")
    assert refused.value.field == "actor"


def test_an_empty_pool_is_deleted_and_its_event_says_by_whom() -> None:
    event = pools.delete("linux", now=NOON, actor="ann", jobs=0, agents=0, force=False)
    assert (event.type, event.at) == ("pool.deleted", NOON)
    assert event.data == {"actor": "ann", "jobs": 0, "agents": 0}


@pytest.mark.parametrize(("jobs", "agents"), [(1, 0), (0, 1)])
def test_a_pool_in_use_is_deleted_by_force_alone(jobs: int, agents: int) -> None:
    with pytest.raises(IllegalTransition, match="in use"):
        pools.delete("linux", now=NOON, actor="ann", jobs=jobs, agents=agents, force=False)
    event = pools.delete("linux", now=NOON, actor="ann", jobs=jobs, agents=agents, force=True)
    assert event.data == {"actor": "ann", "jobs": jobs, "agents": agents}


def test_a_size_that_an_operator_wants_changes_nothing_else() -> None:
    before = pools.put(None, spec=SPEC, now=NOON, actor="ann").value
    decision = pools.scale(before, 4, now=LATER, actor="bob")
    assert decision.value == evolve(before, target_agents=4, updated_at=LATER)
    assert pools.scale(decision.value, 4, now=LATER, actor="bob").changed is False
    assert pools.scale(decision.value, None, now=LATER, actor="bob").value.target_agents is None


@pytest.mark.parametrize("size", [0, 6, "3"])
def test_a_size_outside_of_the_pools_bounds_is_refused(size: int) -> None:
    before = pools.put(None, spec=SPEC, now=NOON, actor="ann").value
    with pytest.raises(InvalidInput, match="target_agents"):
        pools.scale(before, size, now=LATER, actor="bob")
