"""What the store consumes, as the engine counts it: a budget for each operation."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from cicd_core import AgentSpec, ControlPlane, JobSpec, Outcome
from cicd_core.entities import COLLECTIONS
from cicd_core.persistence.collections import JOBS, READY
from cicd_core.store.records import Partition, Watch
from tests.dynamodb.harness import SHARDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.store.contract import Store
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio

WRITES = {"put_item", "update_item", "delete_item", "transact_write_items"}


@define
class Meter:
    """Write and read units since the last look."""

    units: Counter[str] = field(factory=Counter[str])

    def __call__(self, operation: str, consumed: Mapping[str, Any]) -> None:
        kind = "write" if operation in WRITES else "read"
        self.units[kind] += consumed["CapacityUnits"]

    def taken(self) -> tuple[float, float]:
        """Return the write and the read units, and begin anew."""
        taken = float(self.units["write"]), float(self.units["read"])
        self.units.clear()
        return taken


async def lifecycle(store: Store, meter: Meter) -> dict[str, tuple[float, float]]:
    """Return what each step of a job's life consumed."""
    plane = ControlPlane(store)
    await plane.agents.register(AgentSpec(agent_id="agent-1", pool_name="default"))
    spec = JobSpec(job_type="build", payload={"command": "make test"})
    await plane.queue.enqueue(spec)  # it makes the lane, and is in the way of nobody
    (other,) = await plane.queue.claim(agent_id="agent-1")
    await plane.queue.complete(await plane.queue.start(other), Outcome.exited(0))
    steps: dict[str, tuple[float, float]] = {}
    meter.taken()
    await plane.queue.enqueue(spec)
    steps["enqueue"] = meter.taken()
    (claimed,) = await plane.queue.claim(agent_id="agent-1")
    steps["claim"] = meter.taken()
    claimed = await plane.queue.start(claimed)
    steps["start"] = meter.taken()
    await plane.queue.complete(claimed, Outcome.exited(0))
    steps["complete"] = meter.taken()
    return steps


def total(steps: dict[str, tuple[float, float]]) -> tuple[float, float]:
    return sum(write for write, _ in steps.values()), sum(read for _, read in steps.values())


async def test_a_job_costs_14_write_units_and_2_read_units_without_a_log(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    meter = Meter()
    options: dict[str, Any] = {"meter": meter, "log": False, "claim_marks": False}
    async with dynamodb.open(namespace, COLLECTIONS, **options) as store:
        steps = await lifecycle(store, meter)
    assert {name: write for name, (write, _) in steps.items()} == {
        "enqueue": 3,
        "claim": 4,
        "start": 3,
        "complete": 4,
    }
    assert total(steps) <= (14, 2)


async def test_a_job_costs_20_write_units_at_most_with_events_counters_and_marks(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    meter = Meter()
    async with dynamodb.open(namespace, COLLECTIONS, meter=meter) as store:
        steps = await lifecycle(store, meter)
        assert total(steps) == (18, steps["claim"][1])
        await store.read_log(None, 1000)  # it copies what two jobs told to the log
        to_log, _ = meter.taken()
        assert total(steps)[0] + to_log / 2 <= 20


async def test_a_renewal_costs_one_write_unit(dynamodb: DynamoDBHarness, namespace: str) -> None:
    meter = Meter()
    async with dynamodb.open(namespace, COLLECTIONS, meter=meter) as store:
        plane = ControlPlane(store)
        await plane.queue.enqueue(JobSpec(job_type="build"))
        (claimed,) = await plane.queue.claim(agent_id="agent-1")
        meter.taken()
        await plane.queue.renew([claimed])
        assert meter.taken() == (1, 0)


async def test_an_idle_look_for_work_costs_half_a_read_unit_a_shard(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    meter = Meter()
    async with dynamodb.open(namespace, COLLECTIONS, meter=meter) as store:
        plane = ControlPlane(store)
        await plane.queue.enqueue(JobSpec(job_type="build"))
        await plane.queue.claim(agent_id="agent-1")
        lane = Watch(Partition(JOBS.name, READY, "default|build|"))
        meter.taken()
        assert not await store.wait([lane], 0)
        assert meter.taken() == (0, 0.5 * SHARDS)
