"""Runs suites over faulty stores in a process of its own, and returns how each test ends."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.patience import PATIENCE

_ROOT: Final = Path(__file__).parents[2]
#: The line of a test in pytest's short summary.
_LINE: Final = re.compile(r"^(PASSED|FAILED|ERROR) \S*::Test(\w+)::(test_\w+)", re.MULTILINE)


def endings(*chosen: str, number: int) -> dict[tuple[str, str], set[str]]:
    """Return how the chosen tests end, by suite and test: there must be ``number`` of them."""
    options = ["-q", "-rA", "--tb=no", "--no-header", "-p", "no:cacheprovider", "-n", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *chosen],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    found: dict[tuple[str, str], set[str]] = {}
    for ending, suite, test in _LINE.findall(done.stdout):
        found.setdefault((suite, test), set()).add(ending)
    assert len(found) == number, done.stdout + done.stderr
    return found
