"""Agents and pools, as an operator sees and steers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from cicd_core import AgentSpec, ChangedMeanwhile, ControlPlane, Pool, PoolSpec
from cicd_core.cli.pools import change_pool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.person import Person


@pytest.fixture
def agent(person: Person, tmp_path: Path) -> str:
    """The id of an agent that has said that it lives."""

    async def register() -> None:
        async with ControlPlane.open(f"sqlite:///{tmp_path}/ci.db", maintenance=False) as plane:
            made = await plane.agents.register(
                AgentSpec(agent_id="a1", labels=("linux",), slots=2, job_types=("shell",))
            )
            await plane.agents.heartbeat("a1", made.incarnation)

    anyio.run(register)
    return "a1"


def test_an_agent_is_listed_and_shown(person: Person, agent: str) -> None:
    (listed,) = person.asks("agents")["items"]
    assert (listed["agent_id"], listed["status"], listed["slots"]) == (agent, "healthy", 2)
    assert person.asks("agents", "show", agent)["labels"] == ["linux"]
    assert "healthy" in person.types("agents").out
    assert "linux" in person.types("agents", "show", agent).out


def test_what_holds_an_agents_lease_is_never_told(person: Person, agent: str) -> None:
    assert "incarnation" not in person.asks("agents", "show", agent)


def test_agents_are_listed_by_pool_and_status(person: Person, agent: str) -> None:
    def found(*words: str) -> list[str]:
        return [each["agent_id"] for each in person.asks("agents", *words)["items"]]

    assert found("--pool", "default") == found("list", "--status", "Healthy") == [agent]
    assert found("--pool", "linux") == found("--status", "offline") == []
    assert person.types("agents", "--status", "well").code == 2


def test_an_agent_is_drained_and_then_gone(person: Person, agent: str) -> None:
    told = person.types("agents", "drain", agent, "--reason", "new kernel").out
    assert told == "a1 terminating: new kernel\n"
    drained = person.asks("agents", "show", agent)
    assert (drained["status"], drained["drain_reason"]) == ("terminating", "new kernel")
    person.types("agents", "deregister", agent)
    assert person.asks("agents", "show", agent)["status"] == "terminated"
    assert person.types("agents", "drain", agent).code == 4


def test_an_operator_has_a_word_on_an_agents_health(person: Person, agent: str) -> None:
    told = person.types("agents", "set-status", agent, "UNHEALTHY", "--reason", "smoke").out
    assert told.startswith("a1 unhealthy: ")
    assert person.asks("agents", "show", agent)["forced_status"] == "unhealthy"
    refused = person.types("agents", "set-status", agent, "well", "--json")
    assert (refused.code, refused.error["field"]) == (2, "status")


def test_an_agent_that_is_not_there_is_not_found(person: Person) -> None:
    for words in (["show"], ["drain"], ["deregister"]):
        assert person.types("agents", *words, "nobody").code == 3


def test_a_pool_is_made_and_replaced(person: Person) -> None:
    person.types("pools", "put", "mac", "--min", "1", "--max", "4", "--region", "eu")
    made = person.asks("pools", "show", "mac")
    assert (made["pool"]["min_agents"], made["pool"]["max_agents"]) == (1, 4)
    assert made["pool"]["region"] == "eu"
    assert made["condition"]["health"] == "empty"
    person.types("pools", "put", "mac", "--slots", "2", "--meta", "team=core")
    replaced = person.asks("pools", "show", "mac")["pool"]
    assert (replaced["min_agents"], replaced["region"]) == (0, None)
    assert (replaced["slots_per_agent"], replaced["metadata"]) == (2, {"team": "core"})


def test_set_changes_only_what_is_named(person: Person) -> None:
    person.types(
        "pools", "put", "mac", "--min", "1", "--max", "4", "--region", "eu", "--meta", "a=b"
    )
    before = person.asks("pools", "show", "mac")["pool"]
    told = person.types("pools", "set", "mac", "--max", "6", "--target", "5", "--meta", "c=d")
    assert told.out == "mac: 1 to 6 agents\n"
    after = person.asks("pools", "show", "mac")["pool"]
    changed = {"max_agents": 6, "target_agents": 5, "metadata": {"a": "b", "c": "d"}}
    assert after == before | changed | {"updated_at": after["updated_at"]}
    person.types("pools", "set", "mac", "--target", "none", "--region", "", "--meta", "a=")
    last = person.asks("pools", "show", "mac")["pool"]
    assert (last["target_agents"], last["region"], last["metadata"]) == (None, None, {"c": "d"})
    assert last["min_agents"] == 1


class MeddledPools:
    """Pools that somebody else changes after each of the first reads."""

    def __init__(self, plane: ControlPlane, changes: int) -> None:
        self.pools = self
        self._plane = plane
        self._left = changes

    async def get(self, pool_name: str) -> Pool:
        seen = await self._plane.pools.get(pool_name)
        if self._left:
            self._left -= 1
            spec = PoolSpec(pool_name=pool_name, warm_agents=seen.warm_agents + 1)
            await self._plane.pools.put(spec)
        return seen

    async def put(self, spec: PoolSpec, **words: Any) -> Pool:
        return await self._plane.pools.put(spec, **words)


@pytest.mark.parametrize("changes", [2, 5])
def test_set_loses_no_change_that_another_one_makes_meanwhile(changes: int) -> None:
    async def meddle() -> Pool:
        async with ControlPlane.open("memory://", maintenance=False) as plane:
            await plane.pools.put(PoolSpec(pool_name="mac"))
            meddled = cast("ControlPlane", MeddledPools(plane, changes))
            return await change_pool(meddled, "mac", {"max_agents": 7}, {}, actor="ada")

    if changes == 5:
        with pytest.raises(ChangedMeanwhile):
            anyio.run(meddle)
    else:
        pool = anyio.run(meddle)
        assert (pool.max_agents, pool.warm_agents) == (7, 2)


def test_set_refuses_a_wrong_target_and_a_pool_that_is_not_there(person: Person) -> None:
    person.types("pools", "put", "mac")
    refused = person.types("pools", "set", "mac", "--target", "many", "--json")
    assert (refused.code, refused.error["field"]) == (2, "target")
    assert person.types("pools", "set", "linux", "--max", "3").code == 3
    assert "give a field to change" in person.types("pools", "set", "mac").err


def test_a_pool_is_deleted_when_it_is_empty_or_by_force(person: Person) -> None:
    person.types("pools", "put", "mac")
    person.types("enqueue", "build", "--pool", "mac")
    refused = person.types("pools", "delete", "mac")
    assert (refused.code, "jobs that have not ended: 1" in refused.err) == (4, True)
    assert person.asks("pools", "delete", "mac", "--force") == "mac"
    assert person.asks("pools")["items"] == []


def test_pools_are_listed_with_what_they_have_now(person: Person, agent: str) -> None:
    person.types("pools", "put", "default")
    person.types("enqueue", "build")
    (listed,) = person.asks("pools")["items"]
    assert listed["load"]["ready"] == 1
    assert (listed["fleet"]["serving"], listed["fleet"]["by_status"]) == (1, {"healthy": 1})
    assert "default" in person.types("pools", "list").out
    assert "1 ready, 0 leased" in person.types("pools", "show", "default").out


def test_scaling_says_how_many_agents_and_why(person: Person) -> None:
    person.types("pools", "put", "default", "--max", "2")
    for _ in range(3):
        person.types("enqueue", "build")
    signal: dict[str, Any] = person.asks("pools", "scaling", "default")
    assert (signal["desired"], signal["current"], signal["change"]) == (2, 0, 2)
    assert signal["term"] == "maximum"
    assert "capped by max_agents 2" in person.types("pools", "scaling", "default").out


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["put", "a b"], "pool_name"),
        (["put", "mac", "--min", "3", "--max", "1"], "min_agents"),
        (["put", "mac", "--target", "11"], "target_agents"),
        (["put", "mac", "--slots", "0"], "slots_per_agent"),
        (["put", "mac", "--warm", "-1"], "warm_agents"),
        (["put", "mac", "--meta", "x"], "meta"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(person: Person, words: list[str], field: str) -> None:
    refused = (
        person.types("pools", "--json") if not words else person.types("pools", *words, "--json")
    )
    assert (refused.code, refused.error["field"]) == (2, field)
    assert person.types("pools").out.startswith("no pools")


def test_a_pool_that_is_not_there_is_not_found(person: Person) -> None:
    assert person.types("pools", "show", "mac").code == 3
    assert person.types("pools", "scaling", "mac").code == 3
