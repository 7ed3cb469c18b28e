"""What pytest learns of the suite: an option, at no cost to those who do not need it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cicd_core.testing.pytest_plugin import DEFAULT_HISTORIES

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = "cicd_core.testing.pytest_plugin"
HEAVY = ("aiosqlite", "cicd_core.testing.machine", "hypothesis", "pytest", "trio")
TEST = """
from cicd_core.testing.pytest_plugin import histories_of

def test_the_effort(request):
    assert histories_of(request.config) == {expected}
"""


def run(folder: Path, expected: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, with no plugin but those that the options name."""
    path = folder / "test_effort.py"
    path.write_text(TEST.format(expected=expected), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *options, str(path)],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_option_sets_the_effort(tmp_path: Path) -> None:
    done = run(tmp_path, 7, "-p", PLUGIN, "--cicd-histories", "7")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("options", [["-p", PLUGIN], []])
def test_the_effort_is_small_by_default(tmp_path: Path, options: list[str]) -> None:
    done = run(tmp_path, DEFAULT_HISTORIES, *options)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("wrong", ["0", "-1", "many"])
def test_an_effort_of_nothing_is_refused(tmp_path: Path, wrong: str) -> None:
    done = run(tmp_path, 7, "-p", PLUGIN, f"--cicd-histories={wrong}")
    assert done.returncode != 0
    assert "give 1 or more" in done.stderr


def test_it_imports_nothing_that_another_project_does_not_need() -> None:
    code = f"import sys, {PLUGIN}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
