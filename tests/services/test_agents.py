"""Agents: an incarnation at a time, alive for as long as it beats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    AgentInfo,
    AgentMetrics,
    AgentReplaced,
    AgentSpec,
    AgentStatus,
    ControlPlane,
    InvalidInput,
    NotFound,
    OperationRejected,
    Settings,
)
from cicd_core.model.instants import from_micros
from cicd_core.persistence.collections import AGENTS, HEARTBEAT, TIMERS
from cicd_core.store.records import Partition
from tests.services.broken_stores import Relay
from tests.services.scenes import story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict, Renewal, Renewed
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

S = AgentStatus
FINE = AgentMetrics(cpu_percent=10)
BUSY = AgentMetrics(cpu_percent=90)


class Counting(Relay):
    """A store that counts the commits."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.commits = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.commits += len(commits)
        return await super().commit(commits)


async def register(plane: ControlPlane, agent_id: str = "a-1", **fields: Any) -> AgentInfo:
    return await plane.agents.register(AgentSpec(agent_id=agent_id, **fields))


async def beating(plane: ControlPlane, agent_id: str = "a-1", **fields: Any) -> AgentInfo:
    agent = await register(plane, agent_id, **fields)
    return await plane.agents.heartbeat(agent_id, agent.incarnation)


async def listed(plane: ControlPlane, **filters: Any) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await plane.agents.list(cursor=cursor, **filters)
        found += [agent.agent_id for agent in page.items]
        cursor = page.cursor
        if cursor is None:
            return found


async def test_an_agent_registers_and_is_healthy_from_its_first_heartbeat(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    spec = AgentSpec(agent_id="a-1", pool_name="fast", labels=("b", "a"), slots=4, version="1")
    agent = await plane.agents.register(spec)
    assert (agent.status, agent.labels, agent.slots) == (S.REGISTERING, ("a", "b"), 4)
    assert agent.registered_at == from_micros(clock.micros())
    clock.advance(5)
    beaten = await plane.agents.heartbeat("a-1", agent.incarnation, metrics=FINE, running=2)
    assert (beaten.status, beaten.metrics, beaten.running) == (S.HEALTHY, FINE, 2)
    assert (await plane.agents.get("a-1")) == beaten
    assert beaten.heartbeat_at == from_micros(clock.micros())


async def test_a_heartbeat_commits_only_when_the_health_changes(
    store: Store, clock: VirtualClock
) -> None:
    counting = Counting(store)
    plane = ControlPlane(counting)
    agent = await register(plane)
    assert counting.commits == 1
    path = [(FINE, 2), (FINE, 2), (BUSY, 3), (BUSY, 3), (FINE, 4), (FINE, 4), (None, 4)]
    for metrics, commits in path:
        clock.advance(10)
        await plane.agents.heartbeat("a-1", agent.incarnation, metrics=metrics)
        assert counting.commits == commits
    told = [event.type for event in await story(plane, "a-1")]
    assert told == ["agent.registered", *["agent.status_changed"] * 3]


async def test_a_heartbeat_that_was_not_written_is_seen_by_everybody(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    agent = await beating(plane)
    clock.advance(20)
    await plane.agents.heartbeat("a-1", agent.incarnation)
    now = from_micros(clock.micros())
    assert (await other_plane.agents.get("a-1")).heartbeat_at == now
    (shown,) = (await other_plane.agents.list()).items
    assert shown.heartbeat_at == now


async def test_a_heartbeat_that_was_not_written_is_answered_with_what_it_said(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    agent = await beating(plane)
    clock.advance(5)
    beaten = await plane.agents.heartbeat("a-1", agent.incarnation, metrics=FINE, running=3)
    assert (beaten.metrics, beaten.running) == (FINE, 3)
    assert beaten.heartbeat_at == from_micros(clock.micros())
    # What was said and not written is written with the next change.
    drained = await plane.agents.heartbeat("a-1", agent.incarnation, metrics=BUSY)
    assert (await plane.agents.get("a-1")).metrics == drained.metrics == BUSY


class TakenAway(Relay):
    """A store where an agent's lease is taken away in the very moment of its heartbeat."""

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        return [None for _ in renewals]


async def test_a_heartbeat_that_holds_nothing_any_more_is_refused(
    plane: ControlPlane, store: Store
) -> None:
    agent = await beating(plane)
    with pytest.raises(OperationRejected, match="register it"):
        await ControlPlane(TakenAway(store)).agents.heartbeat("a-1", agent.incarnation)


async def test_nobody_looks_at_the_heartbeat_of_an_agent_that_is_known_to_be_silent(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    minded = Partition(AGENTS.name, TIMERS, HEARTBEAT)
    agent = await beating(plane)
    assert [count.number for count in await store.count([minded])] == [1]
    clock.advance(31)
    await plane.maintenance.sweep()
    assert [count.number for count in await store.count([minded])] == [0]
    await plane.agents.heartbeat("a-1", agent.incarnation)
    assert [count.number for count in await store.count([minded])] == [1]
    await plane.agents.deregister("a-1")
    assert [count.number for count in await store.count([minded])] == [0]


async def test_an_agent_that_beats_stays_and_one_that_is_silent_is_offline(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    agent = await beating(plane)
    await beating(plane, "a-2")
    for _ in range(5):
        clock.advance(29)
        await plane.agents.heartbeat("a-1", agent.incarnation)
        await plane.maintenance.sweep()
    assert (await plane.agents.get("a-1")).status is S.HEALTHY
    silent = await plane.agents.get("a-2")
    assert (silent.status, silent.status_reason) == (
        S.OFFLINE,
        "no heartbeat for more than 30 s",
    )


async def test_an_agent_is_offline_after_the_time_that_was_set_and_the_reason_says_so(
    store: Store, clock: VirtualClock
) -> None:
    plane = ControlPlane(store, settings=Settings(heartbeat_timeout_seconds=120))
    await beating(plane)
    clock.advance(120)
    assert (await plane.maintenance.sweep()).silenced == 0
    clock.advance(micros=1)
    assert (await plane.maintenance.sweep()).silenced == 1
    agent = await plane.agents.get("a-1")
    assert agent.status_reason == "no heartbeat for more than 120 s"
    assert (await plane.maintenance.sweep()).total == 0


async def test_a_heartbeat_brings_an_offline_agent_back(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    agent = await beating(plane)
    clock.advance(60)
    assert (await other_plane.maintenance.sweep()).silenced == 1
    back = await plane.agents.heartbeat("a-1", agent.incarnation)
    assert back.status is S.HEALTHY
    clock.advance(29)
    assert (await other_plane.maintenance.sweep()).total == 0
    clock.advance(2)
    assert (await other_plane.maintenance.sweep()).silenced == 1
    told = [event.data["to"] for event in await story(plane, "a-1")]
    assert told == ["registering", "healthy", "offline", "healthy", "offline"]


async def test_a_second_incarnation_refuses_the_first(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    first = await beating(plane)
    clock.advance(5)
    second = await register(other_plane)
    assert second.incarnation != first.incarnation
    assert second.created_at == first.created_at
    for through in (plane, other_plane):
        for farewell in (through.agents.drain, through.agents.deregister):
            with pytest.raises(AgentReplaced):
                await farewell("a-1", reason="old", actor="a-1", incarnation=first.incarnation)
        with pytest.raises(AgentReplaced, match="another process has registered") as replaced:
            await through.agents.heartbeat("a-1", first.incarnation)
        assert (replaced.value.agent_id, replaced.value.incarnation) == ("a-1", first.incarnation)
    assert (await other_plane.agents.heartbeat("a-1", second.incarnation)).status is S.HEALTHY
    clock.advance(29)
    await plane.maintenance.sweep()
    assert (await plane.agents.get("a-1")).status is S.HEALTHY


async def test_the_health_follows_the_load(plane: ControlPlane) -> None:
    agent = await register(plane)
    for metrics, status in (
        (FINE, S.HEALTHY),
        (BUSY, S.DEGRADED),
        (AgentMetrics(disk_percent=99), S.UNHEALTHY),
        (FINE, S.HEALTHY),
    ):
        beaten = await plane.agents.heartbeat("a-1", agent.incarnation, metrics=metrics)
        assert beaten.status is status
        assert (await plane.agents.get("a-1")).status is status


async def test_an_agent_that_drains_goes_on_beating_and_leaves(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    agent = await beating(plane)
    drained = await other_plane.agents.drain("a-1", reason="maintenance", actor="bob")
    assert (drained.status, drained.drain_reason) == (S.TERMINATING, "maintenance")
    clock.advance(20)
    beaten = await plane.agents.heartbeat("a-1", agent.incarnation)
    assert (beaten.status, beaten.drain_reason) == (S.TERMINATING, "maintenance")
    gone = await plane.agents.deregister("a-1")
    assert gone.status is S.TERMINATED
    with pytest.raises(OperationRejected, match="terminated"):
        await plane.agents.heartbeat("a-1", agent.incarnation)
    clock.advance(1000)
    assert (await plane.maintenance.sweep()).total == 0
    assert (await plane.agents.deregister("a-1")) == gone


async def test_an_agent_that_falls_silent_while_it_drains_has_left(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    agent = await beating(plane)
    await plane.agents.drain("a-1", reason="maintenance")
    clock.advance(31)
    assert (await plane.maintenance.sweep()).silenced == 1
    assert (await plane.agents.get("a-1")).status is S.TERMINATED
    with pytest.raises(OperationRejected):
        await plane.agents.heartbeat("a-1", agent.incarnation)
    assert (await register(plane)).status is S.REGISTERING


async def test_an_operator_says_how_an_agent_is_until_it_is_taken_back(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    agent = await beating(plane)
    forced = await other_plane.agents.set_status("a-1", "degraded", reason="fan", actor="bob")
    assert (forced.status, forced.set_by_operator) == (S.DEGRADED, True)
    beaten = await plane.agents.heartbeat("a-1", agent.incarnation, metrics=FINE)
    assert beaten.status is S.DEGRADED
    await other_plane.agents.set_status("a-1", S.HEALTHY, reason="fixed")
    assert (await plane.agents.heartbeat("a-1", agent.incarnation)).status is S.HEALTHY


async def test_many_heartbeats_at_once_agree_with_each_other(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    agent = await register(plane)

    async def beat(number: int) -> None:
        through = (plane, other_plane)[number % 2]
        metrics = (FINE, BUSY)[number % 3 == 0]
        await through.agents.heartbeat("a-1", agent.incarnation, metrics=metrics)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(beat, number)
    told = await story(plane, "a-1")
    assert [event.version for event in told] == list(range(told[0].version, told[-1].version + 1))
    assert all(event.data["from"] != event.data["to"] for event in told[1:])


async def test_agents_are_listed_by_pool_and_by_status(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    for number, pool in enumerate(("fast", "slow", "fast", "slow")):
        await beating(plane, f"a-{number}", pool_name=pool)
        clock.advance(1)
    await plane.agents.drain("a-2", reason="maintenance")
    for limit in (1, 3, 500):
        assert await listed(plane, limit=limit) == ["a-3", "a-2", "a-1", "a-0"]
        assert await listed(plane, limit=limit, pool_name="fast") == ["a-2", "a-0"]
        assert await listed(plane, limit=limit, status="healthy") == ["a-3", "a-1", "a-0"]
        assert await listed(plane, limit=limit, pool_name="fast", status=S.HEALTHY) == ["a-0"]
    await plane.agents.deregister("a-0")
    assert [agent.agent_id for agent in await plane.agents.in_pool("fast")] == ["a-2"]


async def test_a_restart_may_move_an_agent_to_another_pool(plane: ControlPlane) -> None:
    await beating(plane, pool_name="fast")
    await beating(plane, pool_name="slow")
    assert await listed(plane, pool_name="fast") == []
    assert await listed(plane, pool_name="slow") == ["a-1"]


NOBODY: dict[str, Callable[[ControlPlane], Awaitable[object]]] = {
    "get": lambda plane: plane.agents.get("nobody"),
    "heartbeat": lambda plane: plane.agents.heartbeat("nobody", "0" * 32),
    "drain": lambda plane: plane.agents.drain("nobody", reason="x"),
    "deregister": lambda plane: plane.agents.deregister("nobody"),
    "set_status": lambda plane: plane.agents.set_status("nobody", "healthy", reason="x"),
}


@pytest.mark.parametrize("command", NOBODY)
async def test_an_agent_that_never_registered_is_not_found(
    plane: ControlPlane, command: str
) -> None:
    with pytest.raises(NotFound) as refused:
        await NOBODY[command](plane)
    assert (refused.value.kind, refused.value.key) == ("agent", "nobody")


@pytest.mark.parametrize(
    ("field", "give"),
    [
        ("agent_id", lambda plane, _: register(plane, "no good")),
        ("slots", lambda plane, _: register(plane, slots=0)),
        ("labels[0]", lambda plane, _: register(plane, labels=("no good",))),
        ("job_types", lambda plane, _: register(plane, job_types=())),
        (
            "metrics.cpu_percent",
            lambda plane, me: plane.agents.heartbeat(
                "a-1", me, metrics=AgentMetrics(cpu_percent=101)
            ),
        ),
        ("running", lambda plane, me: plane.agents.heartbeat("a-1", me, running=-1)),
        ("status", lambda plane, _: plane.agents.set_status("a-1", "fine", reason="x")),
        ("reason", lambda plane, _: plane.agents.set_status("a-1", "healthy", reason="")),
        ("reason", lambda plane, _: plane.agents.drain("a-1", reason="")),
        ("actor", lambda plane, _: plane.agents.drain("a-1", reason="x", actor="")),
        ("status", lambda plane, _: plane.agents.list(status="fine")),
        ("pool_name", lambda plane, _: plane.agents.list(pool_name="no good")),
        ("agent_id", lambda plane, _: plane.agents.get("")),
    ],
)
async def test_a_wrong_argument_is_refused_by_its_name(
    plane: ControlPlane, field: str, give: Callable[[ControlPlane, str], Awaitable[object]]
) -> None:
    agent = await beating(plane)
    with pytest.raises(InvalidInput) as refused:
        await give(plane, agent.incarnation)
    assert refused.value.field == field
    assert await plane.agents.get("a-1") == agent
