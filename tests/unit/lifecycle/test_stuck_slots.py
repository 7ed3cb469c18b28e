"""Slots that an agent can't free: they count against its health, and its record names them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.lifecycle.agents import heartbeat
from cicd_core.model.agent import MAX_SLOTS, AgentMetrics, StuckReport, checked_stuck
from tests.unit.lifecycle.agent_matrix import FIRST, HEALTHY, LATER, STANDING, S

ONE_SLOT = evolve(HEALTHY, slots=1)


def report(job_id: str = "j-1", seconds: float = 30.0, reason: str = "timeout") -> StuckReport:
    return StuckReport(job_id=job_id, seconds=seconds, reason=reason)


def test_an_agent_whose_only_slot_is_stuck_is_unhealthy_and_says_which_job_takes_it() -> None:
    decision = heartbeat(ONE_SLOT, incarnation=FIRST, now=LATER, stuck=[report()])
    (stuck,) = decision.value.stuck
    assert decision.value.status is S.UNHEALTHY
    assert (stuck.job_id, stuck.reason) == ("j-1", "timeout")
    assert stuck.since == LATER - timedelta(seconds=30)
    assert "1 of 1 slots are stuck: job 'j-1'" in str(decision.value.status_reason)
    (event,) = decision.events
    assert event.type == "agent.status_changed"


def test_an_agent_with_one_stuck_slot_of_two_is_degraded() -> None:
    two = evolve(HEALTHY, slots=2)
    decision = heartbeat(two, incarnation=FIRST, now=LATER, stuck=[report()])
    assert decision.value.status is S.DEGRADED


def test_a_job_that_stays_stuck_keeps_its_moment_and_costs_no_commit() -> None:
    first = heartbeat(ONE_SLOT, incarnation=FIRST, now=LATER, stuck=[report(seconds=30.0)]).value
    again = heartbeat(
        first, incarnation=FIRST, now=LATER + timedelta(seconds=9), stuck=[report(seconds=39.5)]
    )
    assert not again.changed
    assert again.value.stuck == first.stuck


def test_another_stuck_job_is_written_though_the_health_stays() -> None:
    four = evolve(HEALTHY, slots=4)
    first = heartbeat(four, incarnation=FIRST, now=LATER, stuck=[report()]).value
    second = heartbeat(first, incarnation=FIRST, now=LATER, stuck=[report(), report("j-2")])
    assert second.changed
    assert [job.job_id for job in second.value.stuck] == ["j-1", "j-2"]


def test_a_slot_that_is_free_again_makes_the_agent_well() -> None:
    ill = heartbeat(ONE_SLOT, incarnation=FIRST, now=LATER, stuck=[report()]).value
    well = heartbeat(ill, incarnation=FIRST, now=LATER).value
    assert (well.status, well.stuck, well.stuck_slots) == (S.HEALTHY, (), 0)


def test_the_record_names_the_first_stuck_jobs_and_counts_all() -> None:
    many = evolve(HEALTHY, slots=100)
    stuck = [report(f"j-{number}", seconds=float(number)) for number in range(50)]
    decision = heartbeat(many, incarnation=FIRST, now=LATER, stuck=stuck)
    assert decision.value.stuck_slots == 50
    assert [job.job_id for job in decision.value.stuck] == [f"j-{n}" for n in range(49, 33, -1)]


def test_a_draining_agent_tells_of_its_stuck_slots_and_drains_on() -> None:
    decision = heartbeat(STANDING[S.TERMINATING], incarnation=FIRST, now=LATER, stuck=[report()])
    assert decision.changed
    assert (decision.value.status, decision.value.stuck_slots) == (S.TERMINATING, 1)


@pytest.mark.parametrize(
    "wrong",
    [report(job_id="no such name!"), report(seconds=-1.0), report(seconds=1e30), report(reason="")],
)
def test_a_wrong_report_of_a_stuck_slot_is_refused_by_its_field(wrong: StuckReport) -> None:
    with pytest.raises(InvalidInput, match="stuck"):
        heartbeat(HEALTHY, incarnation=FIRST, now=LATER, stuck=[wrong])


def test_a_load_that_is_worse_than_a_stuck_slot_is_what_the_agent_says() -> None:
    two = evolve(HEALTHY, slots=2)
    decision = heartbeat(
        two,
        incarnation=FIRST,
        now=LATER,
        stuck=[report()],
        metrics=AgentMetrics(cpu_percent=99),
    )
    assert decision.value.status is S.UNHEALTHY
    assert "cpu at 99 %" in str(decision.value.status_reason)


def test_an_agent_that_can_run_no_jobs_is_unhealthy_and_says_why() -> None:
    decision = heartbeat(HEALTHY, incarnation=FIRST, now=LATER, fault="no room in the log folder")
    assert decision.value.status is S.UNHEALTHY
    assert decision.value.status_reason == "it cannot run jobs: no room in the log folder"


@pytest.mark.parametrize("given", ["j-1", 7, None])
def test_stuck_slots_that_are_no_list_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match="stuck"):
        checked_stuck(given)


def test_more_stuck_slots_than_an_agent_may_have_are_refused() -> None:
    with pytest.raises(TooLarge, match="stuck"):
        checked_stuck([report()] * (MAX_SLOTS + 1))
