"""A real store's writes, cut off at any moment: what was acknowledged is there at FULL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from attrs import evolve

from tests.crash.disk import Kind
from tests.crash.power_loss import cut_power, main, record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.disk import Step
    from tests.crash.power_loss import PowerLossReport

Synchronous = Literal["full", "normal"]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return record(tmp_path_factory.mktemp("full"), synchronous="full", jobs=24)


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return record(tmp_path_factory.mktemp("normal"), synchronous="normal", jobs=24)


def cut(
    steps: list[Step], folder: Path, states: int, synchronous: Synchronous = "full"
) -> PowerLossReport:
    return cut_power(steps, folder / "state", synchronous=synchronous, seed=3, states=states)


@pytest.mark.thorough
def test_the_trace_holds_checkpoints_a_second_log_and_what_was_acknowledged(
    full: list[Step],
) -> None:
    written = [step.name for step in full if step.kind is Kind.WRITE]
    assert {"store.db", "store.db-wal", "store.db-journal"} <= set(written)
    assert sum(step.kind is Kind.MADE and step.name == "store.db-wal" for step in full) == 2
    assert sum(step.kind is Kind.ACKNOWLEDGED for step in full) == 3 * 24


def test_at_full_every_acknowledged_commit_survives_every_power_loss(
    full: list[Step], tmp_path: Path
) -> None:
    report = cut(full, tmp_path, states=40)
    assert report.details == []
    assert report.states == 40
    assert report.states_with_losses == 0
    assert report.ok


@pytest.mark.thorough
def test_at_normal_the_last_commits_may_be_lost_and_the_file_is_whole(
    normal: list[Step], tmp_path: Path
) -> None:
    report = cut(normal, tmp_path, states=30, synchronous="normal")
    assert report.details == []
    assert report.states_with_losses > 0
    assert report.ok
    assert not evolve(report, synchronous="full").ok


@pytest.mark.thorough
def test_a_power_loss_while_the_file_is_made_leaves_a_file_that_opens(
    full: list[Step], tmp_path: Path
) -> None:
    journaled = next(
        number
        for number, step in enumerate(full)
        if step.kind is Kind.REMOVE and step.name == "store.db-journal"
    )
    report = cut(full[: journaled + 1], tmp_path, states=40)
    assert report.details == []
    assert report.ok


def test_a_disk_that_forgets_its_syncs_is_found_out(full: list[Step], tmp_path: Path) -> None:
    lying = [
        evolve(step, before=0, folder=False) if step.kind is Kind.SYNC else step for step in full
    ]
    report = cut(lying, tmp_path, states=20)
    assert report.states_with_losses + report.broken > 0
    assert not report.ok


@pytest.mark.crash
@pytest.mark.timeout(600)
@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_hundreds_of_power_losses(
    synchronous: Synchronous, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--synchronous", synchronous, "--states", "500", "--seed", "11", "--jobs", "40"]
    assert main(arguments) == 0
    assert '"states": 500' in capsys.readouterr().out
