"""What the tests of the lab share: where a run may write, and that its workers find these tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.testing.crash import LabPlan

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LabPlan]:
    """Return what makes a plan over a new SQLite file; kills and operations say how long it is."""
    found = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", str(ROOT) if not found else f"{ROOT}{os.pathsep}{found}")
    (tmp_path / "journals").mkdir()

    def made(**words: Any) -> LabPlan:
        defaults: dict[str, Any] = {
            "store": f"sqlite:///{tmp_path / 'lab.db'}",
            "folder": tmp_path / "journals",
            "seed": 1,
            "minutes": 60.0,
            "workers": 3,
            "tasks": 6,
        }
        return LabPlan(**(defaults | words))

    return made
