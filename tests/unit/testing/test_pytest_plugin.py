"""What pytest learns of the suite: an option, at no cost to those who do not need it."""

from __future__ import annotations

import os
import re
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


MACHINE = """
from hypothesis import HealthCheck, settings
from cicd_core.store import open_store
from cicd_core.testing import StoreHarness, VirtualClock, store_machine
from cicd_core.testing.samples import COLLECTIONS

class Harness(StoreHarness):
    def __init__(self):
        self.clock = VirtualClock()

    def open(self, namespace, collections=COLLECTIONS):
        return open_store("memory://", collections=collections, clock=self.clock)

TestMachine = store_machine(Harness).TestCase
TestMachine.settings = settings(
    TestMachine.settings,
    max_examples=20,
    database=None,
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
"""


@pytest.mark.thorough
@pytest.mark.parametrize(("options", "is_shown"), [([], True), (["-q"], False)])
def test_a_machine_shows_how_far_it_has_come(
    tmp_path: Path, options: list[str], is_shown: bool
) -> None:
    path = tmp_path / "test_machine.py"
    path.write_text(MACHINE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    lines = re.findall(r"^Harness: (\d+) of 20 examples, \d+ steps$", done.stdout, re.MULTILINE)
    assert (lines[:10] == [str(number) for number in range(2, 22, 2)]) is is_shown
    assert bool(lines) is is_shown


def test_it_imports_nothing_that_another_project_does_not_need() -> None:
    code = f"import sys, {PLUGIN}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
