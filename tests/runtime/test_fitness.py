"""A machine that can't run jobs gives them back unused, and claims none until it can."""

from __future__ import annotations

import logging
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec, RetryPolicy
from cicd_core.agent import Agent, JobRun, SetupFailed
from cicd_core.agent.fitness import Fitness
from cicd_core.agent.shell import ShellHandler
from cicd_core.model.agent import AgentStatus
from cicd_core.model.git import GitContext
from cicd_core.model.job import Delivery, JobState, Verdict
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running
from tests.runtime.processes import until
from tests.runtime.repositories import repository

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.runtime.fake_source import FakeSource

T = TypeVar("T")

pytestmark = pytest.mark.anyio

__all__ = ["repository"]  # a fixture


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cicd_core.agent.fitness._FIRST_PAUSE", 0.02)
    monkeypatch.setattr("cicd_core.agent.fitness._LONGEST_PAUSE", 0.02)


async def fail_to_begin(run: JobRun) -> None:
    raise SetupFailed("no space left")


class Machine:
    """A handler whose machine breaks and is put right."""

    def __init__(self) -> None:
        self.broken = True
        self.probes = 0
        self.tried: list[str] = []

    async def __call__(self, run: JobRun) -> None:
        self.tried.append(run.job.job_id)
        if self.broken:
            raise SetupFailed("no space left")

    async def probe(self) -> None:
        self.probes += 1
        if self.broken and self.probes > 1:  # the first one is that of the start
            raise SetupFailed("still no space left")


async def test_a_job_that_could_not_begin_goes_back_unused(source: FakeSource) -> None:
    jobs = [source.add() for _ in range(5)]
    with pytest.raises(SetupFailed, match="no space left"):
        await run_until_idle(agent_of(source, fail_to_begin))
    assert source.outcomes == {}
    assert list(source.releases) == jobs[:3]
    assert set(source.releases.values()) == {"the agent's machine cannot run it: no space left"}
    (farewell,) = source.called("drain")
    assert farewell["reason"] == "this machine cannot run jobs: no space left"


async def test_an_at_most_once_job_that_could_not_begin_goes_back_unused(
    source: FakeSource,
) -> None:
    source.add(delivery=Delivery.AT_MOST_ONCE)
    async with running(agent_of(source, fail_to_begin)):
        await source.until(lambda: source.releases)
    assert [told["began"] for told in source.called("release")] == [False]


async def test_an_agent_with_many_slots_tries_one_job_at_a_time_after_a_failure(
    source: FakeSource,
) -> None:
    for _ in range(12):
        source.add()
    with pytest.raises(SetupFailed):
        await run_until_idle(agent_of(source, fail_to_begin, slots=2))
    limits = [each["limit"] for each in source.called("claim")]
    assert (limits[0], set(limits[1:])) == (2, {1})
    # Of twelve: two at once, which count as one failure, and one for each slot after a pause.
    assert len(source.releases) <= 6


async def test_an_agent_that_cannot_run_jobs_claims_none_until_its_probe_passes(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine()
    source.add()
    async with running(agent_of(source, machine)):
        await source.until(lambda: "still no space left" in faults(source))
        claims = len(source.called("claim"))
        probes = machine.probes
        second = source.add()
        await until(lambda: machine.probes >= probes + 5)
        assert len(source.called("claim")) == claims
        machine.broken = False
        await source.until(lambda: second in source.outcomes)
        await source.until(lambda: faults(source)[-1] is None)
    assert machine.tried == ["job-1", second]
    assert source.outcomes[second].verdict is Verdict.SUCCESS
    assert "the agent is unhealthy: still no space left" in caplog.text
    assert "this machine can run jobs again" in caplog.text


def faults(source: FakeSource) -> list[str | None]:
    return [each["fault"] for each in source.called("heartbeat")]


async def test_two_failures_in_a_row_are_not_yet_a_fault(source: FakeSource) -> None:
    for _ in range(6):
        source.add()

    async def fail_twice_in_three(run: JobRun) -> None:
        if int(run.job.job_id[-1]) % 3:
            raise SetupFailed("for a moment")

    await run_until_idle(agent_of(source, fail_twice_in_three))
    assert sorted(source.outcomes) == ["job-3", "job-6"]
    assert len(source.releases) == 4


async def test_what_a_machine_has_room_for_is_halved_by_a_failure_and_grows_by_each_job() -> None:
    fitness = Fitness(32, lambda: None)
    failed = SetupFailed("too many open files")
    for _ in range(20):  # at the same time: one failure
        fitness.failed(failed, None)
    assert (fitness.most, fitness.fault) == (16, None)
    await fitness.recover()
    fitness.failed(failed, None)
    assert fitness.most == 8
    for _ in range(3):
        fitness.worked()
    assert fitness.most == 11
    for _ in range(40):
        fitness.worked()
    assert fitness.most == 32


async def test_a_cancelled_job_whose_set_up_fails_is_cancelled(quick_source: FakeSource) -> None:
    source = quick_source
    job = source.add()

    async def fail_when_it_is_stopped(run: JobRun) -> None:
        source.cancel(job)
        try:
            await anyio.sleep_forever()
        finally:
            raise SetupFailed("half made")

    await run_until_idle(agent_of(source, fail_when_it_is_stopped))
    assert source.outcomes[job].verdict is Verdict.CANCELLED


async def test_an_agent_without_a_log_folder_does_not_start(
    source: FakeSource, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    source.add()
    with pytest.raises(SetupFailed, match=r"folder of the logs, .*file/logs: Not a directory"):
        await run_until_idle(agent_of(source, fail_to_begin, log_dir=tmp_path / "file" / "logs"))
    assert source.calls == []


async def test_a_log_folder_that_goes_comes_back(
    source: FakeSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = tmp_path / "logs"

    async def remove_it(run: JobRun) -> None:
        run.log("hello")
        if run.job.job_id == "job-1":
            shutil.rmtree(logs)

    jobs = [source.add() for _ in range(3)]
    await run_until_idle(agent_of(source, remove_it, log_dir=logs))
    assert list(source.outcomes) == [jobs[0], jobs[2]]
    assert list(source.releases) == [jobs[1]]
    assert "no longer exists" in caplog.text


async def come_true(get: Callable[[], Awaitable[T]], is_so: Callable[[T], bool]) -> T:
    """Return what is stored, when it is so."""
    with anyio.fail_after(PATIENCE):
        while not is_so(found := await get()):  # noqa: ASYNC110 - a store tells only queues
            await anyio.sleep(0.01)
        return found
    raise AssertionError("unreachable")


class BrokenLater(ShellHandler):
    """A file takes the place of the work folder when the agent has begun."""

    async def __call__(self, run: JobRun) -> Any:
        if self._root.is_dir():
            shutil.rmtree(self._root)
            self._root.touch()
        return await super().__call__(run)


@pytest.mark.thorough
async def test_a_broken_machine_uses_no_attempt_and_leaves_the_jobs_to_another(
    tmp_path: Path,
) -> None:
    async with ControlPlane.open("memory://") as plane:
        payload = {"argv": ["sleep", "0.1"]}
        once = RetryPolicy(max_attempts=1)
        spec = JobSpec(job_type="work", payload=payload, retry=once)
        jobs = [await plane.queue.enqueue(spec) for _ in range(12)]
        handler = BrokenLater(work_dir=tmp_path / "broken")
        broken = agent_of(plane, handler, agent_id="broken")
        good = agent_of(plane, ShellHandler(work_dir=tmp_path / "good"), agent_id="good")
        async with running(broken):
            unhealthy = partial(plane.agents.list, status=AgentStatus.UNHEALTHY)
            (said,) = (await come_true(unhealthy, lambda page: bool(page.items))).items
            async with running(good):
                for job in jobs:
                    await come_true(partial(plane.jobs.get, job.job_id), lambda j: j.is_final)
        ended = [await plane.jobs.get(job.job_id) for job in jobs]
    assert {job.state for job in ended} == {JobState.SUCCESS}
    assert {job.agent_id for job in ended} == {"good"}
    assert {job.attempts_used for job in ended} == {1}
    assert str(said.status_reason).startswith("it cannot run jobs: the work folder")


async def test_a_job_that_may_start_once_goes_back_unused_when_it_could_not_begin() -> None:
    async with ControlPlane.open("memory://") as plane:
        spec = JobSpec(job_type="work", delivery=Delivery.AT_MOST_ONCE)
        job = await plane.queue.enqueue(spec)
        with pytest.raises(SetupFailed, match="no space left"):
            await run_until_idle(agent_of(plane, fail_to_begin))
        back = await plane.jobs.get(job.job_id)
        assert (back.state, back.attempts_used) == (JobState.QUEUED, 0)


async def test_a_set_up_that_a_drain_made_fail_is_not_the_machines_fault(
    source: FakeSource,
) -> None:
    agent = Agent(source, grace_seconds=0.0)

    @agent.handler("stopped")
    async def fail_when_it_is_stopped(run: JobRun) -> None:
        agent.drain("its machine goes")
        try:
            await anyio.sleep_forever()
        finally:
            raise SetupFailed("half made")

    job = source.add("stopped")
    with anyio.fail_after(PATIENCE):
        await agent.run()
    assert source.releases == {job: "the agent drains: its machine goes"}
    (release,) = source.called("release")
    assert release["began"] is False


async def test_a_checkout_without_git_is_the_machines_fault(
    source: FakeSource, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_of(source, ShellHandler(work_dir=tmp_path / "work"))
    job = source.add(payload={"argv": ["true"]}, git=GitContext(repo=str(repository)))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SetupFailed, match="git"):
        await run_until_idle(agent)
    assert job in source.releases
    assert not source.outcomes


async def test_a_checkout_of_what_is_not_there_is_the_jobs_fault(
    source: FakeSource, tmp_path: Path, repository: Path
) -> None:
    context = GitContext(repo=str(repository), ref="no-such-branch")
    job = source.add(payload={"argv": ["true"]}, git=context)
    await run_until_idle(agent_of(source, ShellHandler(work_dir=tmp_path / "work")))
    assert source.outcomes[job].verdict is Verdict.ERROR
    assert not source.releases


async def test_a_guard_that_does_not_come_up_is_the_machines_fault(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = agent_of(source, ShellHandler(work_dir=tmp_path / "work"))

    @agent.handler("break")
    async def lose_python(run: JobRun) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    source.add("break")
    job = source.add(payload={"argv": ["true"]})
    with pytest.raises(SetupFailed, match="no process can be started: No such file"):
        await run_until_idle(agent)
    assert job in source.releases


async def test_a_relative_log_folder_stays_where_it_was(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    jobs = [source.add() for _ in range(2)]

    def change_folder(run: JobRun) -> None:
        monkeypatch.chdir(elsewhere)
        run.log("hello")

    await run_until_idle(agent_of(source, change_folder, log_dir="logs"))
    urls = [(tmp_path / "logs" / f"{job}-1.log").as_uri() for job in jobs]
    assert [source.outcomes[job].logs_url for job in jobs] == urls


async def test_an_embedded_agent_says_what_it_cannot_do(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    source.add()
    agent = Agent(source)
    agent.add_handler("work", fail_to_begin)
    with caplog.at_level(logging.WARNING, "cicd_core.agent"), pytest.raises(SetupFailed):
        await run_until_idle(agent)
    assert "could not start a job: no space left" in caplog.text
