"""The command: a table and bars for people, JSON for programs, and an exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput
from cicd_core.model.job import Priority
from cicd_core.testing.simulation import SimulationPlan, SimulationReport, Violation
from cicd_core.testing.simulation.command import main
from cicd_core.testing.simulation.drawing import bars, text_of
from cicd_core.testing.simulation.measuring import Waits, waits_of
from cicd_core.testing.simulation.plan import MACHINES, WORKS
from cicd_core.testing.simulation.traffic import Traffic, rate_at

SHORT = ["--agents", "6", "--days", "0.02", "--jobs-per-hour", "60", "--seed", "3"]

REPORT = SimulationReport(
    plan=SimulationPlan(seed=5),
    steps=77,
    seconds=60.0,
    violations=(),
    checked={"fences grow": 2},
    audited=3,
    waits={Priority.LOW: Waits(claims=1, p50=0.5, p95=70.0, longest=7200.0)},
    utilisation=0.25,
    samples=(),
    tally={"enqueued": 4},
)


def test_the_command_prints_waits_bars_and_that_all_is_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(SHORT) == 0
    out, err = capsys.readouterr()
    assert "critical" in out
    assert "desired" in out
    assert "every promise holds" in out
    assert "% of the traffic" in err


def test_the_command_prints_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHORT, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["plan"]["seed"] == 3
    assert not err


def test_a_number_out_of_its_range_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--agents", "1"]) == 2
    assert "agents" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["simulate", "simulation"])
def test_the_modules_are_the_command(module: str) -> None:
    command = [sys.executable, "-m", f"cicd_core.testing.{module}", "--agents", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "agents" in ended.stderr


def test_a_broken_promise_is_told_with_its_seed_its_step_and_the_way_back() -> None:
    broken = Violation(invariant="fences grow", step=77, text="job x")
    text = text_of(evolve(REPORT, violations=(broken,)))
    assert "BROKEN at step 77: fences grow: job x" in text
    assert "--seed 5" in text
    assert "--steps 77" in text


def test_the_text_shows_durations_as_people_say_them() -> None:
    text = text_of(REPORT)
    assert "0.50 s" in text
    assert "70 s" in text
    assert "120 min" in text


def test_bars_rise_with_the_values_and_keep_the_peaks() -> None:
    assert bars([0, 1, 2, 7]) == "▁▂▃█"
    assert bars([0, 9, 0, 0], width=2) == "█▁"
    assert bars([0, 7], ascii_only=True) == "_#"
    assert bars([0, 0]) == "▁▁"
    assert not bars([])


def test_waits_are_told_by_the_nearest_rank() -> None:
    assert waits_of([3.0, 1.0, 2.0]) == Waits(claims=3, p50=2.0, p95=3.0, longest=3.0)
    assert waits_of([]).claims == 0


def test_traffic_comes_as_often_as_the_plan_says() -> None:
    traffic = Traffic(SimulationPlan(jobs_per_hour=600))
    now = datetime(2027, 1, 15, tzinfo=UTC)
    at, jobs = 0.0, 0
    while (at := traffic.next_after(at)) < 86_400:
        jobs += len(traffic.specs(now))
    assert jobs == pytest.approx(14_400, rel=0.1)


def test_the_day_is_busiest_in_the_afternoon() -> None:
    assert rate_at(14 * 3600) == max(rate_at(hour * 3600) for hour in range(24))
    assert sum(rate_at(hour * 3600) for hour in range(24)) == pytest.approx(24)


def test_each_kind_of_work_has_machines_that_serve_it() -> None:
    for work in WORKS:
        assert any(machine.serves(work.lane) for machine in MACHINES)
    assert sum(work.share for work in WORKS) == pytest.approx(1)


def test_there_is_at_least_one_machine_of_each_kind() -> None:
    assert set(SimulationPlan(agents=4).machines()) == set(MACHINES)
    assert len(SimulationPlan(agents=1000).machines()) == 1000


@pytest.mark.parametrize("wrong", [{"agents": 3}, {"days": 0}, {"lost_replies": 2}, {"steps": 0}])
def test_a_plan_refuses_numbers_out_of_their_range(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput) as refused:
        SimulationPlan(**wrong)  # type: ignore[arg-type]  # that is the point
    assert refused.value.field in wrong
