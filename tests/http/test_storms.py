"""Agents, the network and the server are disturbed under load: nothing is lost or owned twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.testing.crash import LabPlan, run_lab
from tests.http import storms
from tests.http.storms import scene_of, storm
from tests.storming import python_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LabPlan]:
    """Return what makes a plan over a new SQLite file, small if it says nothing else."""
    monkeypatch.setenv("PYTHONPATH", python_path())
    (tmp_path / "journals").mkdir()

    def made(**words: Any) -> LabPlan:
        store = f"sqlite:///{tmp_path / 'lab.db'}?synchronous=normal"
        defaults: dict[str, Any] = {"store": store, "folder": tmp_path / "journals", "seed": 1}
        return LabPlan(**(defaults | {"minutes": 60.0, "workers": 2, "tasks": 6} | words))

    return made


@pytest.mark.thorough
def test_a_small_storm_over_http_loses_nothing(plan: Callable[..., LabPlan]) -> None:
    wanted = plan(kills=3, operations=40, life=1.0)
    with scene_of(wanted) as scene:
        report = storm(scene, wanted)
        cuts = scene.proxy.cuts
    assert report.violations == {}
    assert (report.kills >= 3, report.operations >= 40, report.enqueued > 0) == (True, True, True)
    assert sum(scene.done.values()) > 0
    assert sum(cuts.values()) > 0
    # Those that were to stop in good order did so, the last one too.
    assert scene.server.codes == [0] * (scene.done["server stopped"] + 1)


@pytest.mark.thorough
def test_a_server_that_forgets_what_it_acknowledged_is_found_out(
    plan: Callable[..., LabPlan],
) -> None:
    wanted = plan(kills=1, operations=400, patience=5.0)
    with scene_of(wanted, "tests.crash.faulty_stores:Forgetful") as scene:
        scene.proxy.calm_down()
        report = run_lab(evolve(wanted, remote=scene.remote, jumps=False))
    assert report.lost.number > 0


def test_a_run_goes_on_with_the_seeds_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run: list[int] = []
    names = ("kills", "operations", "enqueued", "unknown", "lost", "double_owned")

    def one(given: Any, seed: int) -> dict[str, Any]:
        run.append(seed)
        figures = dict.fromkeys(names, 7)
        return {"disturbances": {"server killed": 5}, "cuts": {}, **figures, "ok": seed != 13}

    monkeypatch.setattr(storms, "_one", one)
    file = ["--results", str(tmp_path / "results.jsonl"), "--seed", "11"]
    assert storms.main([*file, "--parts", "2", "--disturbances", "10"]) == 0
    assert storms.main([*file, "--parts", "2", "--disturbances", "11"]) == 1
    assert storms.main([*file, "--parts", "3"]) == 1
    assert run == [11, 12, 13]
    assert "server killed 15" in capsys.readouterr().out
