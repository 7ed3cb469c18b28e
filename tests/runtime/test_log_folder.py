"""Old logs go, and nothing else in the folder."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.agent import LogLimits
from cicd_core.agent.capped_log import part_path
from cicd_core.agent.log_folder import note_log, remove_old_logs
from cicd_core.agent.logs import JobLog
from cicd_core.errors import InvalidInput
from cicd_core.job_logs.limits import LEAST_LIMIT
from tests.runtime.embedding import agent_of, run_until_idle

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.agent import JobRun
    from tests.runtime.fake_source import FakeSource

NOW = 1_800_000_000.0
DAY = 86400.0


def made(folder: Path, name: str, *, days: float = 0.0, size: int = 1, ours: bool = True) -> Path:
    """Make a log that was last written to so many days ago."""
    path = folder / name
    path.write_bytes(bytes(size))
    os.utime(path, (NOW - days * DAY, NOW - days * DAY))
    if ours:
        note_log(path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.name[0] != ".")


def test_logs_that_are_too_old_go(tmp_path: Path) -> None:
    made(tmp_path, "a-1.log", days=15)
    made(tmp_path, "b-1.log", days=13)
    assert remove_old_logs(tmp_path, LogLimits(), NOW) == ["a-1.log"]
    assert names(tmp_path) == ["b-1.log"]
    assert remove_old_logs(tmp_path, LogLimits(), NOW + 2 * DAY) == ["b-1.log"]


def test_the_oldest_go_while_all_are_too_large_together(tmp_path: Path) -> None:
    for number in range(5):
        made(tmp_path, f"j-{number}.log", days=5 - number, size=100)
    assert remove_old_logs(tmp_path, LogLimits(total_bytes=250), NOW) == [
        *("j-0.log", "j-1.log", "j-2.log")
    ]


def test_the_parts_of_a_log_count_and_go_with_it(tmp_path: Path) -> None:
    path = made(tmp_path, "a-1.log", days=3)
    made(tmp_path, part_path(path, 4096).name, days=2, size=100, ours=False)
    made(tmp_path, "b-1.log", days=1, size=100)
    remove_old_logs(tmp_path, LogLimits(total_bytes=100), NOW)
    assert names(tmp_path) == ["b-1.log"]


def test_files_that_no_agent_made_stay(tmp_path: Path) -> None:
    made(tmp_path, "nginx-1.log", days=100, ours=False)
    made(tmp_path, "a-1.log", days=100)
    elsewhere = tmp_path / "other" / "b-1.log"
    elsewhere.parent.mkdir()
    elsewhere.touch()
    os.utime(elsewhere, (0, 0))
    (tmp_path / "l-1.log").symlink_to(elsewhere)
    with (tmp_path / ".cicd-core-logs").open("a") as listed:
        listed.write("other/b-1.log\n../x\nl-1.log\n.cicd-core-logs\n\n")
    assert remove_old_logs(tmp_path, LogLimits(total_bytes=0), NOW) == ["a-1.log"]
    assert names(tmp_path) == ["l-1.log", "nginx-1.log", "other"]
    assert elsewhere.exists()


def test_a_log_that_is_written_to_stays(tmp_path: Path) -> None:
    path = tmp_path / "a-1.log"
    log = JobLog(path)
    log.write("hello")
    os.utime(path, (0, 0))
    assert remove_old_logs(tmp_path, LogLimits(total_bytes=0), NOW) == []
    log.close()
    assert remove_old_logs(tmp_path, LogLimits(total_bytes=0), NOW) == ["a-1.log"]


def test_a_file_that_was_there_before_is_not_the_agents_to_remove(tmp_path: Path) -> None:
    path = made(tmp_path, "a-1.log", days=100, ours=False)
    log = JobLog(path)
    log.write("hello")
    log.close()
    assert remove_old_logs(tmp_path, LogLimits(total_bytes=0), NOW) == []


def test_a_folder_without_logs_of_agents_is_left_as_it_is(tmp_path: Path) -> None:
    assert remove_old_logs(tmp_path, LogLimits(), NOW) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("job_bytes", LEAST_LIMIT - 1),
        ("job_bytes", "64M"),
        ("keep_seconds", -1),
        ("total_bytes", None),
    ],
)
def test_a_limit_that_is_wrong_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        LogLimits(**{field: value})
    assert refused.value.field == field


@pytest.mark.anyio
async def test_an_agent_removes_old_logs_when_it_begins(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talk(run: JobRun) -> None:
        run.log("x" * 100)

    source.add(job_id="one")
    await run_until_idle(agent_of(source, talk, log_dir=tmp_path))
    source.add(job_id="two")
    limits = LogLimits(total_bytes=50)
    await run_until_idle(agent_of(source, talk, log_dir=tmp_path, log_limits=limits))
    assert names(tmp_path) == ["two-1.log"]


@pytest.mark.anyio
@pytest.mark.parametrize("ahead", [timedelta(days=1000), timedelta(days=-1000)])
async def test_a_clock_that_is_wrong_makes_no_log_old(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    wrong = int((NOW + ahead.total_seconds()) * 1e6)
    monkeypatch.setattr("cicd_core.agent.log_cleaning.wall_micros", lambda: wrong)
    path = made(tmp_path, "a-1.log")
    source.add(job_id="one")
    await run_until_idle(agent_of(source, lambda _: None, log_dir=tmp_path))
    assert path.exists()
