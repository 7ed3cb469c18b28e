"""A process that forks with a store open: the child is refused, the parent goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


def use_after_fork(url: str, *words: str, script: str = "forked.py") -> str:
    """Return the keys that the parent finds in the end."""
    path = Path(__file__).with_name(script)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(path), url, *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_forked_child_with_a_sqlite_store_is_refused_and_opens_its_own(tmp_path: Path) -> None:
    found = use_after_fork(f"sqlite:///{tmp_path}/store.db")
    assert found == "after, before, of a fork, of a worker\n"


def test_forked_child_with_a_memory_store_is_refused_and_has_no_part_in_it() -> None:
    assert use_after_fork("memory://shared") == "after, before\n"


def test_commits_of_a_forked_child_outlive_the_parents_sqlite_store(tmp_path: Path) -> None:
    found = use_after_fork(f"sqlite:///{tmp_path}/s.db", "outlived", script="forked_at_work.py")
    assert found == "child, early, child, late, parent\n"


def test_children_that_are_forked_while_sqlite_is_at_work_open_their_own(tmp_path: Path) -> None:
    found = use_after_fork(f"sqlite:///{tmp_path}/s.db", "busy", script="forked_at_work.py")
    names = [f"{who} {number:02}" for who in ("child", "parent") for number in range(12)]
    assert found == f"{', '.join(names)}\n"
