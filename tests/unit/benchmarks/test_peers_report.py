"""What the benchmark of other queues makes of its measurements."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.peers import report
from benchmarks.peers.contestants import CONTESTANTS
from benchmarks.peers.report import BEGIN, END, Results, judged, write_page
from benchmarks.peers.targets import TARGETS, Target

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {
    "cores": 2, "processor": "x86_64", "python": "3.11.7", "load": 0.5, "versions": ["saq==1"]
}  # fmt: skip


def results() -> Results:
    found = Results(MACHINE)
    for rate in (600.0, 700.0, 900.0):
        found.add("redis", "pairs-1", "ours", {"rate": rate, "client_us": 500.0})
        found.add("redis", "pairs-1", "SAQ", {"rate": rate / 2, "client_us": 700.0})
        found.add("redis", "pairs-1", "BullMQ, Python", {"rate": 2 * rate, "client_us": 400.0})
        found.add("redis", "pairs-1", "Huey", {"rate": 10 * rate, "client_us": 90.0})
        found.add("redis", "pickup", "ours", {"p50_us": rate, "p99_us": 10 * rate})
    return found


def test_ours_is_compared_with_the_best_peer_that_the_target_names() -> None:
    found = {text: (ratio, met) for text, ratio, _, met in judged(results())}
    assert found == {
        "Redis, claim + complete, 1 caller / best Python peer that acknowledges": (0.5, False),
        "Redis, pick-up by an idle worker, p50, ms": (0.7, True),
        "Redis, pick-up by an idle worker, p99, ms": (7.0, False),
    }


def test_results_come_back_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(results().as_json()))
    assert Results.read(path) == results()


def test_the_page_gets_figures_between_its_lines_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "peers.md"
    page.write_text(f"# Peers\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    monkeypatch.setattr(report, "PAGE", page)
    write_page(results())
    text = page.read_text()
    assert text.startswith(f"# Peers\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nAfter.\n")
    assert "old" not in text
    assert "| claim + complete, 1 caller | 700; 500 | 1,400; 400 | 350; 700 | 7,000; 90 |" in text
    assert "| pick-up by an idle worker | 0.70 ms, p99 7.00 ms |" in text


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: each.text)
def test_a_target_names_contestants_that_take_part(target: Target) -> None:
    known = CONTESTANTS[target.kind.partition(",")[0]]
    assert {"ours", *target.peers} <= known.keys()
