"""The consumer program runs; the session `package` type-checks it against the installed wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE

PROGRAM = Path(__file__).with_name("consumer.py")


def test_the_consumer_program_runs() -> None:
    ran = subprocess.run(
        [sys.executable, str(PROGRAM)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = ran.stdout.splitlines()
    assert "job.succeeded" in ran.stdout
    assert told[-1] == "priority give one of critical, high, normal, low"
