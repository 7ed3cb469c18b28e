"""Simulated traffic keeps every promise, is reproducible, and finds out who breaks one."""

from __future__ import annotations

from functools import cache, partial

import anyio
import pytest
from attrs import evolve

from cicd_core.testing.simulation import SimulationPlan, SimulationReport, simulate
from tests import faulty
from tests.unit.testing.simulation import faulty_stores

PLAN = SimulationPlan(
    seed=7,
    agents=12,
    days=0.12,
    jobs_per_hour=90,
    crash_rate=1.0,
    stall_rate=2.0,
    lease_seconds=300.0,
    lost_replies=0.1,
    cancels=0.2,
    hangs=0.01,
    setup_failures=0.1,
)

STORES = {**vars(faulty), **vars(faulty_stores)}
#: A store, and the promise that it breaks first.
FAULTS = {
    "Disorderly": "queue: fifo inversion",
    "Idle": "queue: false empty",
    "Unsorted": "queue: not sorted",
    "Trespassing": "queue: other lane",
    "Unrepeatable": "repetitions change nothing",
    "Careless": "stale owners are refused",
    "Forgetful": "nothing lost",
    "Mistaken": "renewals tell the owner",
    "Flattering": "the last sign of life decides",
    "Uncounted": "audit: counters",
    "Generous": "leases last as long as promised",
}


@cache
def run(plan: SimulationPlan, backend: str = "asyncio") -> SimulationReport:
    return anyio.run(simulate, plan, backend=backend)


def test_a_day_full_of_faults_keeps_every_promise() -> None:
    report = run(PLAN)
    assert report.violations == ()
    happened = {"crashes", "stalls", "repeated calls", "refused stale calls", "retries"}
    happened.add("given back unused")
    ended = {"success", "failed", "cancelled"}
    assert all(report.tally.get(name, 0) > 0 for name in happened | ended)


def test_a_wall_clock_that_is_set_again_and_again_breaks_no_promise() -> None:
    report = run(evolve(PLAN, clock_steps=20.0))
    assert report.violations == ()
    assert report.tally["clock steps"] > 20
    assert report.tally["success"] > 0


def test_lists_of_lanes_that_are_lost_again_and_again_break_no_promise() -> None:
    report = run(evolve(PLAN, lane_losses=20.0))
    assert report.violations == ()
    assert report.tally["lost lists of lanes"] > 10
    assert report.tally["success"] > 0


def test_every_job_has_come_to_an_end() -> None:
    tally = run(PLAN).tally
    ends = ("success", "failed", "error", "timeout", "cancelled")
    at_rest = tally.get("dead_lettered", 0) - tally.get("replays", 0)
    assert tally["enqueued"] <= sum(tally.get(name, 0) for name in ends) + at_rest


def test_every_promise_was_checked_on_the_way() -> None:
    checked = run(PLAN).checked
    by_hand = {name for name in FAULTS.values() if not name.startswith(("audit: ", "queue: "))}
    by_hand |= {"one owner", "attempts within the allowance", "queue"}
    audited = {"fences", "verdicts", "leases", "log", "paths"}
    assert by_hand | {f"audit: {name}" for name in audited} <= set(checked)


def test_the_same_seed_gives_the_same_numbers() -> None:
    again = anyio.run(simulate, PLAN)
    assert again.as_json() == run(PLAN).as_json()


def test_both_event_loops_give_the_same_numbers() -> None:
    assert run(PLAN, "trio").as_json() == run(PLAN).as_json()


def test_another_seed_gives_other_numbers() -> None:
    other = run(evolve(PLAN, seed=8))
    assert other.ok
    assert (other.waits, other.tally) != (run(PLAN).waits, run(PLAN).tally)


def test_the_scaling_signal_may_decide_how_many_agents_there_are() -> None:
    report = run(evolve(PLAN, autoscale=True, agents=30, jobs_per_hour=200, days=0.1))
    assert report.violations == ()
    assert report.tally["started agents"] > 0
    assert report.tally["drained agents"] > 0
    assert len({sample.agents for sample in report.samples}) > 1


def test_a_run_can_be_stopped_at_a_step() -> None:
    report = run(evolve(PLAN, steps=500))
    assert (report.ok, report.steps) == (True, 500)
    assert "--steps 500" in report.replay


def faulty_run(name: str, plan: SimulationPlan) -> SimulationReport:
    return anyio.run(partial(simulate, plan, wrap=STORES[name]))


def test_the_replay_of_a_fault_in_the_order_ends_at_the_first_wrong_claim() -> None:
    plan = evolve(PLAN, lost_replies=0.0)
    report = faulty_run("Idle", plan)
    first = report.violations[0].step
    assert report.steps > first  # the order is checked at intervals
    assert f"--steps {first}" in report.replay
    assert faulty_run("Idle", evolve(plan, steps=first - 1)).ok
    again = faulty_run("Idle", evolve(plan, steps=first))
    assert [(found.step, found.invariant) for found in again.violations] == [
        (first, "queue: false empty")
    ]


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_store_is_found_out(name: str) -> None:
    # Repetitions find most of these too, and often sooner: here each promise stands by itself.
    plan = PLAN if name == "Unrepeatable" else evolve(PLAN, lost_replies=0.0)
    report = faulty_run(name, plan)
    assert not report.ok
    assert FAULTS[name] in {violation.invariant for violation in report.violations}
