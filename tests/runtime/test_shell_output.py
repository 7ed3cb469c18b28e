"""What a command prints reaches the log, within its limit; the log decides no verdict."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.agent import LogLimits
from cicd_core.agent.shell import ShellHandler
from cicd_core.agent.shell.output import captured
from cicd_core.job_logs.limits import CUT_LINE, HEAD_BYTES, LEAST_LIMIT
from cicd_core.model.job import Verdict
from tests.runtime.embedding import agent_of, run_until_idle
from tests.runtime.processes import is_alive, number_in, until

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.model.outcome import Outcome
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


async def outcome_of(source: FakeSource, tmp_path: Path, shell: str, **options: Any) -> Outcome:
    """Run a line as a job, in an agent with a folder for logs unless an option says otherwise."""
    job = source.add(payload={"shell": shell})
    options = {"log_dir": tmp_path / "logs"} | options
    await run_until_idle(agent_of(source, ShellHandler(work_dir=tmp_path / "work"), **options))
    return source.outcomes[job]


async def test_a_command_that_prints_much_fills_no_more_than_the_limit(
    source: FakeSource, tmp_path: Path
) -> None:
    # The command itself looks how much of the disk its log takes.
    logs = tmp_path / "logs"
    line = (
        f"for i in 1 2 3 4 5 6; do head -c {LEAST_LIMIT} /dev/zero; "
        f"du -sk {logs} | cut -f1 >> {tmp_path}/sizes; done; echo; echo end"
    )
    limits = LogLimits(job_bytes=LEAST_LIMIT)
    outcome = await outcome_of(source, tmp_path, line, log_limits=limits)
    assert outcome.verdict is Verdict.SUCCESS
    data = (logs / "job-1-1.log").read_bytes()
    assert len(data) <= LEAST_LIMIT + 80
    assert data[:HEAD_BYTES] == bytes(HEAD_BYTES)
    assert CUT_LINE.match(data, HEAD_BYTES)
    assert data.endswith(b"\nend\n")
    assert str(outcome.logs_summary).endswith("end\n")
    sizes = [int(size) for size in (tmp_path / "sizes").read_text().split()]
    assert max(sizes) * 1024 <= LEAST_LIMIT + 64 * 1024


@pytest.mark.parametrize("logs", [True, False])
async def test_a_command_that_removes_all_around_it_succeeds(
    source: FakeSource, tmp_path: Path, logs: bool
) -> None:
    line = f"rm -rf ../* {tmp_path}/logs; echo gone; exit 0"
    options = {} if logs else {"log_dir": None}
    outcome = await outcome_of(source, tmp_path, line, **options)
    assert (outcome.verdict, outcome.exit_code) == (Verdict.SUCCESS, 0)
    assert outcome.logs_summary == "gone\n"
    assert outcome.logs_url is None


async def test_a_log_folder_that_became_a_file_decides_no_verdict(
    source: FakeSource, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    line = f"echo one; rm -rf {logs}; touch {logs}; echo two; exit 3"
    outcome = await outcome_of(source, tmp_path, line)
    assert (outcome.verdict, outcome.exit_code) == (Verdict.FAILED, 3)
    assert outcome.logs_summary == "one\ntwo\n"


async def test_a_disk_that_is_full_decides_no_verdict(
    source: FakeSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "job-1-1.log").symlink_to("/dev/full")
    outcome = await outcome_of(source, tmp_path, "yes | head -n 100000; echo end")
    assert (outcome.verdict, outcome.exit_code) == (Verdict.SUCCESS, 0)
    assert str(outcome.logs_summary).endswith("y\nend\n")
    assert caplog.text.count("No space left on device") == 1


async def test_a_process_that_left_its_group_keeps_no_job_waiting(
    source: FakeSource, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    line = f"setsid sh -c 'echo $$ > {pid}; exec yes' & until test -s {pid}; do :; done; echo end"
    outcome = await outcome_of(source, tmp_path, line)
    assert outcome.verdict is Verdict.SUCCESS
    process = await number_in(pid)
    await until(lambda: not is_alive(process))  # SIGPIPE ends it with its next line


async def test_the_last_words_of_a_command_are_taken_before_it_is_over() -> None:
    taken: list[bytes] = []
    async with captured(taken.append) as output:
        await anyio.to_thread.run_sync(output.write, bytes(3_000_000))
        output.write(b"end")
    said = b"".join(taken)
    assert (len(said), said[-3:]) == (3_000_003, b"end")


async def test_a_sink_that_fails_keeps_no_command_waiting() -> None:
    def refuse(data: bytes) -> None:
        raise ValueError(len(data))

    async with captured(refuse) as output:
        await anyio.to_thread.run_sync(output.write, bytes(3_000_000))


async def test_nothing_stays_open(tmp_path: Path) -> None:
    def opened() -> int:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - a Path keeps it open

    async with captured(lambda _: None):
        pass
    before = opened()
    for _ in range(5):
        async with captured(lambda _: None) as output:
            output.write(b"x")
    assert opened() == before
