"""``python -m cicd_core.testing.crash``: what it answers, and what it refuses to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cicd_core.testing.crash.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.thorough
def test_it_prints_its_findings_as_json_and_its_progress_beside_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path / 'lab.db'}"
    effort = ["--minutes", "60", "--kills", "2", "--operations", "50"]  # the time is never up
    words = [*effort, "--workers", "2", "--life", "0.4", "--seed", "3"]
    journals = ["--journals", str(tmp_path / "journals")]
    assert main(["--store", store, "--json", *words, *journals]) == 0
    shown = capsys.readouterr()
    report = json.loads(shown.out)
    assert report["ok"]
    assert report["kills"] >= 2
    assert report["operations"] >= 50
    assert (report["lost"], report["double_owned"], report["violations"]) == (0, 0, {})
    assert "the audit is done" in shown.err
    assert list((tmp_path / "journals").glob("*.jsonl"))
    assert main(["--store", store, *words, *journals]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert report["enqueued"] > 0
    assert main(["--store", store, *words]) == 2
    assert "has jobs already" in capsys.readouterr().err


def test_a_store_that_lives_in_one_process_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--store", "memory://", "--minutes", "1"]) == 2
    assert "lives in one process" in capsys.readouterr().err


def test_a_store_that_nobody_registered_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", "nowhere://x"]) == 2
    assert "no store is registered" in capsys.readouterr().err
