"""What the tests of the lab share: where a run may write, and that its workers find these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.testing.crash import LabPlan
from tests.storming import python_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LabPlan]:
    """Return what makes a plan over a new SQLite file; kills and operations say how long it is."""
    monkeypatch.setenv("PYTHONPATH", python_path())
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
