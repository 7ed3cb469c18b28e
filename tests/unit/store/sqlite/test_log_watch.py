"""An idle process asks SQLite for nothing: the log's file says whether anybody has committed."""

from __future__ import annotations

import itertools
import os
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.store.sqlite import log_watch
from cicd_core.store.sqlite.files import beside
from cicd_core.store.sqlite.log_watch import FRESH, SETTLING, UNANSWERED, LogWatch
from cicd_core.testing.samples import in_lane, watch
from tests.unit.store.sqlite.files import opened, run_script

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="its files do not tell: SQLite is asked each time"
)

HOUR = 3600.0
#: More looks than any test takes for its first ones.
LOOKS = 20


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = beside(tmp_path / "ci.db", "wal")
    log.write_bytes(b"first")
    return log


def looks_told(seen: LogWatch, first: float, last: float, *, commits: bool = True) -> int:
    """Return how many of the looks, forty a second, told of a change; the first sees a commit."""
    told = 0
    for look in range(round((last - first) * 40)):
        told += seen.may_have_changed(first + look / 40)
        if commits:
            seen.saw_commit()
    return told


def test_a_log_is_asked_about_less_and_less_the_longer_it_stays_as_it_is(
    tmp_path: Path, log: Path
) -> None:
    seen = LogWatch(tmp_path / "ci.db")
    assert looks_told(seen, 100.0, 100.0 + FRESH) == FRESH * 40
    assert 10 <= looks_told(seen, 100.0 + FRESH, 100.0 + SETTLING) <= 12
    assert looks_told(seen, 100.0 + SETTLING, 100.0 + SETTLING + 1) == 1
    assert looks_told(seen, 100.0 + SETTLING + 1, 100.0 + HOUR) == 0


def test_a_log_is_asked_about_when_it_has_settled_however_long_the_event_loop_stood_still(
    tmp_path: Path, log: Path
) -> None:
    seen = LogWatch(tmp_path / "ci.db")
    assert seen.may_have_changed(100.0)  # of an earlier commit, say
    seen.saw_commit()
    assert seen.may_have_changed(100.0 + HOUR)
    assert not seen.may_have_changed(100.0 + HOUR + 1)


def test_a_log_is_asked_about_while_no_commit_has_come_of_what_was_written(
    tmp_path: Path, log: Path
) -> None:
    seen = LogWatch(tmp_path / "ci.db")
    assert looks_told(seen, 100.0, 120.0, commits=False) >= 5 * 15  # a slow disk's sync
    seen.saw_commit()
    assert looks_told(seen, 120.0, 300.0) == 0
    log.write_bytes(b"first, then cut")  # without a commit
    assert looks_told(seen, HOUR, HOUR + UNANSWERED + 1, commits=False) > 0
    assert looks_told(seen, HOUR + UNANSWERED + 1, HOUR + 300.0, commits=False) == 0


@pytest.mark.parametrize("change", ["time", "size", "file"])
def test_a_log_that_was_written_may_have_changed_until_it_has_settled(
    tmp_path: Path, log: Path, change: str
) -> None:
    found = log.stat()
    seen = LogWatch(tmp_path / "ci.db")
    seen.may_have_changed(0.0)
    seen.saw_commit()
    assert seen.may_have_changed(HOUR - 1)
    assert not seen.may_have_changed(HOUR)
    if change == "size":
        log.write_bytes(b"first, and more")
        os.utime(log, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif change == "file":
        log.rename(tmp_path / "before")
        log.write_bytes(b"other")
        os.utime(log, ns=(found.st_atime_ns, found.st_mtime_ns))
    else:
        os.utime(log, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert looks_told(seen, HOUR + 1, HOUR + 1 + FRESH) == FRESH * 40
    assert seen.may_have_changed(HOUR + 1 + SETTLING - 0.1)
    assert seen.may_have_changed(HOUR + 1 + SETTLING + 0.15)
    assert not seen.may_have_changed(HOUR + 1 + SETTLING + 1)


def test_a_log_that_is_not_there_may_have_changed(tmp_path: Path) -> None:
    assert LogWatch(tmp_path / "ci.db").may_have_changed(HOUR)


@pytest.mark.anyio
async def test_a_waiter_costs_no_statement_while_nobody_commits_and_sees_who_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_watch, "FRESH", 0.0)
    monkeypatch.setattr(log_watch, "SETTLING", 0.0)
    looks, looked = itertools.count(1), anyio.Event()
    look = LogWatch.may_have_changed

    def counted(self: LogWatch, now: float) -> bool:
        number = next(looks)
        if number == LOOKS // 2:
            asked.clear()  # it is asked about once, as it was found
        if number == LOOKS:
            looked.set()
        return look(self, now)

    asked: list[str] = []
    async with opened(path) as store, anyio.create_task_group() as group:
        await store.reads.call(lambda connection: connection.set_trace_callback(asked.append))
        monkeypatch.setattr(LogWatch, "may_have_changed", counted)

        async def wait() -> None:
            assert await store.wait([watch(in_lane())], HOUR)

        group.start_soon(wait)
        await looked.wait()
        assert "PRAGMA data_version" not in asked
        monkeypatch.setattr(log_watch, "FRESH", FRESH)
        group.start_soon(run_script, "put_many.py", path, "a", 1)
    assert "PRAGMA data_version" in asked
