"""Progress is sparing and its last word always arrives; a job's lines stand in its own file."""

from __future__ import annotations

import logging
import os
import stat
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import anyio
import anyio.from_thread
import pytest

from cicd_core.agent import LogMasks
from cicd_core.agent.logs import TAIL_BYTES
from cicd_core.errors import InvalidInput
from cicd_core.model.job import Verdict
from tests.runtime.embedding import agent_of, run_until_idle

if TYPE_CHECKING:
    from cicd_core.agent import Handler, JobRun
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


async def percents(source: FakeSource, handler: Handler) -> list[float | None]:
    source.add()
    await run_until_idle(agent_of(source, handler))
    return [each.percent for each in source.progress_told]


async def test_many_reports_become_few_and_the_last_one_arrives(source: FakeSource) -> None:
    async def hurry(run: JobRun) -> None:
        for percent in range(101):
            await run.progress(percent, f"step {percent}")

    told = await percents(source, hurry)
    assert len(told) < 10
    assert told[-1] == 100
    assert source.progress_told[-1].message == "step 100"


async def test_the_last_report_goes_out_before_the_verdict(source: FakeSource) -> None:
    async def hurry(run: JobRun) -> None:
        await run.progress(1)
        await run.progress(2)

    await percents(source, hurry)
    methods = [call.method for call in source.calls if call.method in {"progress", "complete"}]
    assert methods[-1] == "complete"


async def test_the_first_report_does_not_wait(source: FakeSource) -> None:
    async def tell(run: JobRun) -> None:
        await run.progress(5, "cloning")
        await source.until(lambda: source.progress_told)

    assert await percents(source, tell) == [5]


async def test_a_thread_tells_its_progress(source: FakeSource) -> None:
    def tell(run: JobRun) -> None:
        anyio.from_thread.run(run.progress, 30, "by way of the loop")
        run.progress_soon(60, "by itself")

    assert (await percents(source, tell))[-1] == 60


@pytest.mark.parametrize("percent", [-1, 101, float("nan")])
async def test_a_percentage_that_is_none_is_refused_at_once(
    source: FakeSource, percent: float
) -> None:
    refusals: list[str] = []

    async def tell(run: JobRun) -> None:
        try:
            await run.progress(percent)
        except InvalidInput as refused:
            refusals.append(refused.field)

    await percents(source, tell)
    assert refusals == ["percent"]


@pytest.mark.parametrize("message", [7, b"bytes", ["line"], True])
async def test_a_message_that_is_no_string_is_refused_at_once_and_replaces_no_report(
    source: FakeSource, message: Any
) -> None:
    refused: list[str] = []

    async def tell(run: JobRun) -> None:
        await run.progress(40, "compiled")
        with pytest.raises(InvalidInput) as awaited:
            await run.progress(50, message)
        with pytest.raises(InvalidInput) as soon:
            run.progress_soon(60, message)
        refused.extend((awaited.value.field, soon.value.field))

    assert (await percents(source, tell))[-1] == 40
    assert refused == ["message", "message"]
    assert source.progress_told[-1].message == "compiled"


async def test_progress_that_can_t_be_sent_does_not_harm_the_job(source: FakeSource) -> None:
    source.trouble("progress", times=None)

    async def tell(run: JobRun) -> None:
        await run.progress(50)

    assert await percents(source, tell) == []
    assert source.outcomes["job-1"].verdict is Verdict.SUCCESS


async def test_progress_that_is_refused_does_not_harm_the_job(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    source.trouble("progress", InvalidInput("message", "", "say something"))

    async def tell(run: JobRun) -> None:
        await run.progress(50, "")

    assert await percents(source, tell) == []
    assert source.outcomes["job-1"].verdict is Verdict.SUCCESS
    assert "progress was refused" in caplog.text


async def test_a_thread_that_outlives_its_job_tells_nobody(source: FakeSource) -> None:
    runs: list[JobRun] = []

    async def keep(run: JobRun) -> None:
        runs.append(run)

    async def tell_late(run: JobRun) -> None:
        runs[0].progress_soon(99, "too late")

    source.add("keep")
    source.add("tell")
    agent = agent_of(source, keep)
    agent.add_handler("keep", keep)
    agent.add_handler("tell", tell_late)
    await run_until_idle(agent)
    assert source.called("progress") == []


@pytest.mark.thorough
async def test_a_thread_that_outlives_its_agent_tells_nobody(source: FakeSource) -> None:
    runs: list[JobRun] = []

    async def keep(run: JobRun) -> None:
        runs.append(run)
        await anyio.sleep_forever()

    source.add()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(agent_of(source, keep).run, handle_signals=False))
        await source.until(lambda: runs)
        tasks.cancel_scope.cancel()
    runs[0].progress_soon(99, "too late")
    with anyio.CancelScope(shield=True):
        await anyio.wait_all_tasks_blocked()
    assert source.called("progress") == []


async def test_progress_that_was_not_sent_goes_out_at_the_end(source: FakeSource) -> None:
    source.trouble("progress", times=1)

    async def tell(run: JobRun) -> None:
        await run.progress(50)
        await source.until(lambda: source.called("progress"))

    assert await percents(source, tell) == [50]


async def test_progress_of_a_lost_job_stops_it(source: FakeSource) -> None:
    async def tell(run: JobRun) -> None:
        source.take_away(run.job.job_id)
        await run.progress(50)
        await anyio.sleep_forever()

    assert await percents(source, tell) == []
    assert source.called("complete") == []


def path_of(url: str | None) -> Path:
    return Path(unquote(urlsplit(str(url)).path))


async def test_the_lines_of_a_job_stand_in_a_file_of_its_own(
    source: FakeSource, tmp_path: Path
) -> None:
    async def talk(run: JobRun) -> None:
        run.log(f"this is {run.job.job_id}")
        run.log("bye\n")

    for job_id in ("one", "two/../..:three"):
        source.add(job_id=job_id)
    folder = tmp_path / "deep" / "logs"
    await run_until_idle(agent_of(source, talk, log_dir=folder))
    for job_id in ("one", "two/../..:three"):
        outcome = source.outcomes[job_id]
        assert path_of(outcome.logs_url).parent == folder
        assert path_of(outcome.logs_url).read_text() == f"this is {job_id}\nbye\n"
        assert outcome.logs_summary == f"this is {job_id}\nbye\n"
    assert (folder / "one-1.log").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="modes as POSIX has them")
async def test_folder_and_files_of_logs_are_made_for_the_agents_user_alone(
    source: FakeSource, tmp_path: Path
) -> None:
    async def talk(run: JobRun) -> None:
        run.log("a secret")

    source.add(job_id="one")
    folder = tmp_path / "deep" / "logs"
    mask = os.umask(0o022)
    try:
        await run_until_idle(agent_of(source, talk, log_dir=folder))
    finally:
        os.umask(mask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "one-1.log").stat().st_mode) == 0o600


async def test_the_end_of_a_long_log_is_its_summary(source: FakeSource, tmp_path: Path) -> None:
    def talk(run: JobRun) -> None:
        for number in range(2000):
            run.log(f"line {number}")

    job = source.add()
    await run_until_idle(agent_of(source, talk, log_dir=tmp_path))
    summary = str(source.outcomes[job].logs_summary)
    assert summary.startswith("line ")
    assert summary.endswith("line 1999\n")
    assert len(summary) <= TAIL_BYTES


async def test_without_a_folder_the_last_lines_are_kept(source: FakeSource) -> None:
    async def talk(run: JobRun) -> None:
        assert run.log_path is None
        for number in range(2000):
            run.log(f"line {number}")

    job = source.add()
    await run_until_idle(agent_of(source, talk))
    outcome = source.outcomes[job]
    assert outcome.logs_url is None
    lines = str(outcome.logs_summary).splitlines()
    assert lines == [f"line {number}" for number in range(2000 - len(lines), 2000)]
    assert TAIL_BYTES - 20 < len(str(outcome.logs_summary)) <= TAIL_BYTES


async def test_a_job_that_says_nothing_has_no_log(source: FakeSource, tmp_path: Path) -> None:
    async def keep_quiet(run: JobRun) -> None:
        """Says nothing."""

    job = source.add()
    await run_until_idle(agent_of(source, keep_quiet, log_dir=tmp_path))
    assert (source.outcomes[job].logs_url, source.outcomes[job].logs_summary) == (None, None)


async def test_a_log_that_can_t_be_written_does_not_harm_the_job(
    source: FakeSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "job-1-1.log").mkdir()

    async def talk(run: JobRun) -> None:
        run.log("one")
        run.log("two \udc80")

    job = source.add()
    with caplog.at_level(logging.WARNING, "cicd_core.agent"):
        await run_until_idle(agent_of(source, talk, log_dir=tmp_path))
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert source.outcomes[job].logs_summary == "one\ntwo ?\n"
    assert caplog.text.count("cannot be written") == 1


async def test_the_log_stays_on_the_machine_unless_the_agent_is_to_send_it(
    source: FakeSource,
) -> None:
    job = source.add()

    async def work(run: JobRun) -> None:
        run.log("the password is hunter2")

    await run_until_idle(agent_of(source, work, send_log_tail=False))
    assert source.outcomes[job].logs_summary is None


@pytest.mark.parametrize("folder", [True, False])
async def test_a_secret_that_begins_before_the_end_of_a_log_is_hidden_there(
    source: FakeSource, tmp_path: Path, *, folder: bool
) -> None:
    key = ["-----BEGIN PRIVATE KEY-----", *["c2VjcmV0" * 8] * 60, "-----END PRIVATE KEY-----"]
    plain = ["plain " * 10] * 100

    async def talk(run: JobRun) -> None:
        for line in [*plain, *plain, *plain, *plain, *plain, *plain, *key, *plain]:
            if folder and run.log_path is not None:  # a handler may write to the file itself
                with run.log_path.open("a") as file:
                    file.write(f"{line}\n")
            else:
                run.log(line)

    job = source.add()
    await run_until_idle(agent_of(source, talk, log_dir=tmp_path if folder else None))
    lines = str(source.outcomes[job].logs_summary).splitlines()
    assert {*lines} == {"***", plain[0]}


async def test_a_mask_that_cuts_a_character_does_not_harm_the_verdict(source: FakeSource) -> None:
    job = source.add()
    masks = LogMasks.of(patterns=["key_.{3}"])
    work = agent_of(source, lambda run: run.log("key_aa\u00e9."), log_masks=masks)
    await run_until_idle(work)
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert source.outcomes[job].logs_summary == "***\ufffd.\n"
