"""The disk fails at one change after the other: typed errors, and no acknowledged call is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash.power_loss import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def sweep(folder: Path, illness: str, changes: int, step: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.crash.failing_disk", str(folder)]
    words = ["--illness", illness, "--changes", str(changes), "--step", str(step)]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.thorough
@pytest.mark.parametrize("illness", ["full", "broken"])
def test_a_disk_that_fails_costs_the_calls_that_hear_of_it_and_no_other(
    illness: str, tmp_path: Path
) -> None:
    report = sweep(tmp_path, illness, changes=3, step=151)
    assert report["faults"] == []
    assert report["refused"] > 0
    assert (report["full"] > 0) is (illness == "full")


@pytest.mark.crash
@pytest.mark.timeout(600)
@pytest.mark.parametrize("changes", [1, 20])
@pytest.mark.parametrize("illness", ["full", "broken"])
def test_a_disk_may_fail_at_any_change(illness: str, changes: int, tmp_path: Path) -> None:
    report = sweep(tmp_path, illness, changes, step=23)
    assert report["faults"] == []
    assert report["runs"] > 20
