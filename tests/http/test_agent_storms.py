"""Agents, the network and the server are disturbed: no job is lost, and none runs twice at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import JobSpec
from cicd_core.http.client import RemoteControlPlane
from cicd_core.model.job import RetryPolicy
from tests.http import agent_storms
from tests.http.agent_storms import Stage, StormPlan, storm
from tests.http.lab.steady_caller import SteadyCaller
from tests.patience import PATIENCE
from tests.runtime.processes import processes_in
from tests.storming import python_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.http.lab.execution_audit import Contradiction


@pytest.fixture(autouse=True)
def _processes_that_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", python_path())


def kinds(found: list[Contradiction]) -> set[str]:
    return {contradiction.kind for contradiction in found}


def wait_for(come_true: Callable[[], object]) -> None:
    late = time.monotonic() + PATIENCE
    while not come_true():
        assert time.monotonic() < late
        time.sleep(0.01)


def test_a_small_storm_of_agents_loses_no_job_and_runs_none_twice_at_once(tmp_path: Path) -> None:
    report = storm(StormPlan(folder=tmp_path, agents=2, disturbances=8, jobs=8))
    assert [str(found) for found in report.contradictions] == []
    figures = report.as_json()
    assert sum(figures["disturbances"].values()) >= 8
    assert sum(figures["cuts"].values()) > 0
    assert figures["jobs"] >= 8
    assert figures["executions"] > 0
    assert figures["ok"] is True


@pytest.mark.thorough
def test_an_agent_that_goes_on_without_its_lease_is_found_out(tmp_path: Path) -> None:
    plan = StormPlan(
        folder=tmp_path, agents=2, lease_seconds=2.0, module="tests.http.lab.negligent_agent"
    )
    with Stage(plan) as stage:
        stage.scene.proxy.calm_down()
        first, second = stage.fleet.agents
        spec = JobSpec(
            job_type="shell",
            payload=stage.witness.payload(10_000, 0, "once"),
            retry=RetryPolicy(backoff_base=0.0),
        )

        async def enqueue() -> str:
            async with RemoteControlPlane(stage.direct_url) as plane:
                return (await plane.queue.enqueue(spec)).job_id

        job_id = anyio.run(enqueue)
        first.start()
        wait_for(lambda: any(line.attempt == 1 for line in stage.witness.lines()))
        first.suspend()
        second.start()
        # The second attempt may be lost to the first agent, whose claim still waits.
        wait_for(lambda: any(line.attempt > 1 for line in stage.witness.lines()))
        wait_for(lambda: stage.witness.lines()[-1].attempt == 1)
        first.resume()
        left = stage.left_undone()
    assert left == []
    report = stage.report({"": {job_id}}, left)
    (overlap,) = [found for found in report.contradictions if found.kind == "overlap"]
    assert overlap.job_id == job_id
    assert any("attempt 1 " not in line and "begin" in line for line in overlap.lines)
    assert job_id in report.as_json()["evidence"][0]


def test_a_server_that_forgets_what_it_acknowledged_is_found_out(tmp_path: Path) -> None:
    plan = StormPlan(folder=tmp_path, agents=0, wrap="tests.crash.faulty_stores:Forgetful")
    with Stage(plan) as stage:
        stage.scene.proxy.calm_down()
        caller = SteadyCaller(stage.url, stage.witness, seed=1, pauses=(0.0, 0.0))
        caller.start()
        wait_for(lambda: len(caller.acknowledged) >= 120 or not caller.is_alive())
        caller.stop()
    report = stage.report(caller.acknowledged, [])
    lost = [found for found in report.contradictions if found.kind == "lost"]
    answered = {job_id for ids in caller.acknowledged.values() for job_id in ids}
    assert {found.job_id for found in lost if found.job_id} & answered


def test_a_job_s_process_that_is_left_is_found_out(tmp_path: Path) -> None:
    with Stage(StormPlan(folder=tmp_path, agents=0)) as stage:
        argv = stage.witness.payload(10_000)["argv"]
        named = dict.fromkeys(("CICD_JOB_ID", "CICD_ATTEMPT", "CICD_FENCE"), "0")
        with subprocess.Popen(argv, env={**os.environ, **named}) as process:
            wait_for(stage.witness.lines)
            try:
                assert kinds(stage.left_undone()) == {"left"}
            finally:
                process.kill()
        assert stage.left_undone() == []


def test_an_agent_that_ends_by_a_fault_is_found_out(tmp_path: Path) -> None:
    with Stage(StormPlan(folder=tmp_path, agents=1, module="tests.http.lab.absent")) as stage:
        stage.fleet.start()
        wait_for(lambda: stage.fleet.agents[0].has_ended)
        assert kinds(stage.left_undone()) == {"broken"}
    assert stage.fleet.deserters == 1


def test_a_run_of_agents_goes_on_with_the_seeds_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run: list[int] = []
    numbers = ("jobs", "attempts", "executions", "lines", "unknown", "deserters", "seconds")

    def one(given: Any, seed: int) -> dict[str, Any]:
        run.append(seed)
        bad = {"overlap": 1} if seed == 13 else {}
        return {
            "disturbances": {"agent killed": 5},
            "cuts": {},
            "states": {"success": 7},
            "contradictions": bad,
            "evidence": ["job 1"] * len(bad),
            "ok": not bad,
            **dict.fromkeys(numbers, 7),
        }

    monkeypatch.setattr(agent_storms, "_one", one)
    file = ["--results", str(tmp_path / "results.jsonl"), "--seed", "11"]
    assert agent_storms.main([*file, "--parts", "2", "--disturbances", "10"]) == 0
    assert agent_storms.main([*file, "--parts", "2", "--disturbances", "11"]) == 1
    assert agent_storms.main([*file, "--parts", "3", "--disturbances", "10", "--json"]) == 1
    assert run == [11, 12, 13]
    said = capsys.readouterr().out
    assert "agent killed 10" in said
    assert '"evidence": ["job 1"]' in said


def test_agents_and_their_server_end_with_a_storm_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "storms.py"
    script.write_text(STORM)
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as storm:
        assert storm.stdout is not None
        folder = Path(storm.stdout.readline().strip())
        wait_for(lambda: len(processes_in(folder)) >= 2)
        storm.kill()
    wait_for(lambda: not processes_in(folder))
    wait_for(lambda: not folder.exists())


#: Starts two agents, and waits for its end.
STORM = """
import tempfile
from pathlib import Path
from tests.http.agent_storms import Stage, StormPlan
from tests.lifeline import lifeline
folder = Path(tempfile.mkdtemp(dir=lifeline().folder))
with Stage(StormPlan(folder=folder, agents=2)) as stage:
    stage.fleet.start()
    print(folder, flush=True)
    input()
"""
