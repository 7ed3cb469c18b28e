"""A long storm is run in parts, and goes on where it was stopped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.redis import storms

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the storms that were run; none rages."""
    seeds: list[int] = []

    def one(given: Any, engine: Any, seed: int) -> dict[str, Any]:
        seeds.append(seed)
        figures = dict.fromkeys(("kills", "operations", "enqueued", "lost", "double_owned"), 7)
        return {"disturbances": 5, **figures, "ok": seed != 13}

    monkeypatch.setattr(storms, "_one", one)
    return seeds


def test_a_run_goes_on_with_the_seeds_that_are_missing(
    run: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ["--results", str(tmp_path / "results.jsonl"), "--seed", "3"]
    assert storms.main(["always", *file, "--parts", "2"]) == 0
    assert storms.main(["always", *file, "--parts", "4", "--disturbances", "20"]) == 0
    assert storms.main(["settings", *file]) == 0
    assert run == [3, 4, 5, 6, 3]
    lines = (tmp_path / "results.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["seed"] for line in lines] == run
    assert "disturbances 20, kills 28" in capsys.readouterr().out


def test_a_run_fails_with_any_of_its_storms_and_with_too_little_disturbance(
    run: list[int],
) -> None:
    assert storms.main(["always", "--seed", "12", "--parts", "3"]) == 1
    assert storms.main(["always", "--seed", "2", "--parts", "2", "--disturbances", "11"]) == 1
    assert storms.main(["always", "--seed", "2", "--parts", "2", "--disturbances", "10"]) == 0
    assert run[:3] == [12, 13, 14]
