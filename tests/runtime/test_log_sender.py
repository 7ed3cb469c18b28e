"""An agent sends its logs: nothing lost, nothing doubled, nothing secret."""

from __future__ import annotations

import os
import shutil
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from cicd_core import ControlPlane, InvalidInput, JobSpec, RetryPolicy, Verdict
from cicd_core.agent import LogLimits, LogMasks, log_sender
from cicd_core.agent.shell import ShellHandler
from cicd_core.control_plane.job_logs import JobLogService
from cicd_core.job_logs import FileLogStore
from cicd_core.job_logs.limits import CUT_LINE, HEAD_BYTES, LEAST_LIMIT, cut_line
from cicd_core.job_logs.pieces import PIECE_BYTES
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running
from tests.runtime.log_stores import DisturbedStore, log_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cicd_core.agent import Agent, JobRun
    from cicd_core.job_logs import LogStore

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.name != "posix", reason="runs /bin/sh")]

MEBIBYTE = 1024 * 1024


@pytest.fixture
async def plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane.open("memory://") as opened:
        yield opened


@pytest.fixture
def kept(tmp_path: Path) -> FileLogStore:
    return FileLogStore(tmp_path / "kept", LogLimits(job_bytes=64 * MEBIBYTE))


class Sending:
    """Runs jobs on agents that send their logs to a store."""

    def __init__(self, plane: ControlPlane, tmp_path: Path, store: LogStore) -> None:
        self.plane = plane
        self.logs = JobLogService(plane, store)
        self._folder = tmp_path

    def agent(self, handler: Any, **options: Any) -> Agent:
        given = {"log_dir": self._folder / "logs", "send_logs": self.logs} | options
        return agent_of(self.plane, handler, **given)

    async def runs(self, handler: Any, shell: str = "", **options: Any) -> str:
        """Run one job; return its id."""
        payload = {"shell": shell, "env": {"DEPLOY_TOKEN": "from-the-payload"}}
        job = await self.plane.queue.enqueue(JobSpec(job_type="work", payload=payload))
        await run_until_idle(self.agent(handler, **options))
        return job.job_id

    def shell(self) -> ShellHandler:
        return ShellHandler(work_dir=self._folder / "work")


@pytest.fixture
def sending(plane: ControlPlane, tmp_path: Path, kept: FileLogStore) -> Sending:
    return Sending(plane, tmp_path, kept)


async def test_a_log_arrives_whole_and_complete(sending: Sending, kept: FileLogStore) -> None:
    async def talk(run: JobRun) -> None:
        run.log("hello")
        run.log_output(b"bytes \xff without an end")

    job_id = await sending.runs(talk)
    assert await log_of(kept, job_id) == b"hello\nbytes \xff without an end"
    (state,) = await kept.states(job_id)
    assert (state.attempt, state.complete) == (1, True)


async def test_a_job_that_says_nothing_has_a_complete_log(
    sending: Sending, kept: FileLogStore
) -> None:
    job_id = await sending.runs(lambda _: None)
    (state,) = await kept.states(job_id)
    assert (state.end, state.complete) == (0, True)


async def test_a_line_is_there_while_the_job_runs(sending: Sending) -> None:
    go_on = anyio.Event()

    async def talk(run: JobRun) -> None:
        run.log("first")
        await go_on.wait()
        run.log("second")

    job = await sending.plane.queue.enqueue(JobSpec(job_type="work"))
    pieces = sending.logs.follow(job.job_id)
    async with running(sending.agent(talk)):
        assert (await anext(pieces)).data == b"first\n"
        go_on.set()
        assert (await anext(pieces)).data == b"second\n"
        assert [piece async for piece in pieces] == []
    assert (await sending.plane.jobs.get(job.job_id)).exit_code is None


async def test_each_attempt_has_a_log_of_its_own(sending: Sending, kept: FileLogStore) -> None:
    async def give_up(run: JobRun) -> None:
        run.log(f"attempt {run.job.attempt}")
        if run.job.attempt == 1:
            raise OSError("no network")

    spec = JobSpec(job_type="work", retry=RetryPolicy(backoff_base=0.01))
    job = await sending.plane.queue.enqueue(spec)
    async with running(sending.agent(give_up)):
        with anyio.fail_after(PATIENCE):
            pieces = [piece async for piece in sending.logs.follow(job.job_id)]
    assert {piece.attempt for piece in pieces} == {1, 2}
    assert await log_of(kept, job.job_id, 2) == b"attempt 2\n"
    assert (await log_of(kept, job.job_id, 1)).startswith(b"attempt 1\n")


async def test_secrets_do_not_leave_the_agent(
    sending: Sending, kept: FileLogStore, tmp_path: Path
) -> None:
    shell = "printf 'known-sec'; sleep 0.2; printf 'ret %s https://u:pw@host\\n' $DEPLOY_TOKEN"
    masks = LogMasks.of(values=["known-secret"])
    job_id = await sending.runs(sending.shell(), shell, log_masks=masks)
    assert await log_of(kept, job_id) == b"*** *** https://***@host\n"
    job = await sending.plane.jobs.get(job_id)
    assert job.logs_summary == "*** *** https://***@host\n"
    (local,) = (tmp_path / "logs").glob("*.log")
    assert local.read_bytes() == b"known-secret from-the-payload https://u:pw@host\n"


@pytest.mark.thorough
@pytest.mark.parametrize("when", ["before", "after", "half"])
async def test_appends_that_fail_lose_and_double_nothing(
    plane: ControlPlane, tmp_path: Path, kept: FileLogStore, when: str
) -> None:
    store = DisturbedStore(kept, lambda number: when if number % 3 == 0 else None)
    sending = Sending(plane, tmp_path, cast("LogStore", store))
    command = "i=0; while [ $i -lt 20000 ]; do echo line number $i of many; i=$((i+1)); done"
    job_id = await sending.runs(sending.shell(), command)
    said = b"".join(b"line number %d of many\n" % number for number in range(20_000))
    assert await log_of(kept, job_id) == said
    (state,) = await kept.states(job_id)
    assert state.complete
    assert max(size for _, size in store.appends) <= PIECE_BYTES


async def test_a_store_that_lost_what_it_took_gets_a_line_that_says_so(
    sending: Sending, kept: FileLogStore, tmp_path: Path
) -> None:
    go_on = anyio.Event()

    async def talk(run: JobRun) -> None:
        run.log("lost")
        await go_on.wait()
        run.log("kept")

    job = await sending.plane.queue.enqueue(JobSpec(job_type="work"))
    async with running(sending.agent(talk)):
        async with aclosing(sending.logs.follow(job.job_id)) as pieces:
            await anext(pieces)
        shutil.rmtree(tmp_path / "kept" / job.job_id)
        go_on.set()
        with anyio.fail_after(PATIENCE):
            await sending.plane.jobs.wait(job.job_id)
    assert await log_of(kept, job.job_id) == cut_line(5).encode() + b"kept\n"


async def test_what_the_agents_limit_left_out_is_a_line_in_what_was_sent(
    plane: ControlPlane, tmp_path: Path, kept: FileLogStore
) -> None:
    """The store takes nothing until the job has ended: what is sent is what the file still has."""
    size, may_take = 3 * LEAST_LIMIT, False
    store = DisturbedStore(kept, lambda _: None if may_take else "before")
    sending = Sending(plane, tmp_path, cast("LogStore", store))
    lines = b"".join(b"%063d\n" % number for number in range(size // 64))

    def talk(run: JobRun) -> None:
        nonlocal may_take
        for begin in range(0, size, 65_536):
            run.log_output(lines[begin : begin + 65_536])
        may_take = True

    job_id = await sending.runs(talk, log_limits=LogLimits(job_bytes=LEAST_LIMIT))
    sent = await log_of(kept, job_id)
    assert sent[:HEAD_BYTES] == lines[:HEAD_BYTES]
    cut = CUT_LINE.match(sent, HEAD_BYTES)
    assert cut is not None
    missing, end = int(cut[1]), sent[cut.end() :]
    assert end == lines[HEAD_BYTES + missing :]
    assert HEAD_BYTES + missing + len(end) == size


async def test_a_store_that_refuses_for_good_ends_the_sending_and_not_the_job(
    sending: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing:
        async def append(self, *_: object, **__: object) -> None:
            raise InvalidInput("server", "x", "it keeps no logs")

    async def talk(run: JobRun) -> None:
        run.log("one")

    job_id = await sending.runs(talk, send_logs=Refusing())
    assert (await sending.plane.jobs.get(job_id)).attempts[-1].verdict is Verdict.SUCCESS
    assert caplog.text.count("the rest of its log is not sent") == 1


async def test_a_defect_of_a_sink_ends_the_sending_and_neither_the_job_nor_the_agent(
    sending: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def append(self, *_: object, **__: object) -> None:
            raise KeyError("a defect")

    job_id = await sending.runs(lambda run: run.log("one"), send_logs=Broken())
    assert (await sending.plane.jobs.get(job_id)).attempts[-1].verdict is Verdict.SUCCESS
    assert caplog.text.count("the rest of its log is not sent") == 1
    assert "Traceback" in caplog.text


async def test_a_side_that_takes_smaller_chunks_gets_them(
    plane: ControlPlane, tmp_path: Path, kept: FileLogStore
) -> None:
    store = DisturbedStore(kept, most=40_000)
    sending = Sending(plane, tmp_path, cast("LogStore", store))
    lines = b"".join(b"%063d\n" % number for number in range(8192))
    job_id = await sending.runs(lambda run: run.log_output(lines))
    assert await log_of(kept, job_id) == lines
    refused = [size for _, size in store.appends if size > store.most]
    assert len(refused) <= 3


async def test_a_side_that_takes_next_to_nothing_ends_the_sending_and_not_the_job(
    plane: ControlPlane, tmp_path: Path, kept: FileLogStore, caplog: pytest.LogCaptureFixture
) -> None:
    sending = Sending(plane, tmp_path, cast("LogStore", DisturbedStore(kept, most=100)))
    job_id = await sending.runs(lambda run: run.log_output(bytes(200_000)))
    assert (await sending.plane.jobs.get(job_id)).attempts[-1].verdict is Verdict.SUCCESS
    assert caplog.text.count("the rest of its log is not sent") == 1


async def test_a_log_that_is_never_taken_is_given_up_after_the_attempt(
    plane: ControlPlane,
    tmp_path: Path,
    kept: FileLogStore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(log_sender, "_STALLED_SECONDS", 0.0)
    store = DisturbedStore(kept, lambda _: "before")
    sending = Sending(plane, tmp_path, cast("LogStore", store))
    job_id = await sending.runs(lambda run: run.log("one"))
    assert (await sending.plane.jobs.get(job_id)).attempts[-1].verdict is Verdict.SUCCESS
    assert caplog.text.count("the rest of its log is not sent") == 1
    assert await kept.states(job_id) == ()


async def test_many_small_writes_become_few_chunks(
    plane: ControlPlane, tmp_path: Path, kept: FileLogStore
) -> None:
    store = DisturbedStore(kept)
    sending = Sending(plane, tmp_path, cast("LogStore", store))

    def talk(run: JobRun) -> None:
        for number in range(50_000):
            run.log(f"line {number}")

    job_id = await sending.runs(talk)
    said = b"".join(b"line %d\n" % number for number in range(50_000))
    assert await log_of(kept, job_id) == said
    assert len(store.appends) < 1_000


async def test_sending_needs_a_folder(sending: Sending) -> None:
    with pytest.raises(InvalidInput, match="log_dir"):
        agent_of(sending.plane, lambda _: None, send_logs=sending.logs)
