"""An agent goes in good order: nothing new, time to finish, and the rest is given back."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.from_thread
import pytest

from cicd_core.agent import JobRun, StopReason
from cicd_core.errors import InvalidInput, NotFound
from cicd_core.model.job import Delivery, JobState, Verdict
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running

if TYPE_CHECKING:
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


async def succeed(run: JobRun) -> None:
    """A job with nothing to do."""


async def wait_forever(run: JobRun) -> None:
    await anyio.sleep_forever()


def methods(source: FakeSource) -> list[str]:
    """What was called in the order of the calls, without renewals and heartbeats."""
    return [each.method for each in source.calls if each.method not in {"renew", "heartbeat"}]


async def test_a_drain_waits_for_what_runs(source: FakeSource) -> None:
    began, finish = anyio.Event(), anyio.Event()

    async def wait(run: JobRun) -> None:
        began.set()
        await finish.wait()
        assert not run.cancelled

    job = source.add()
    agent = agent_of(source, wait)
    async with running(agent):
        await began.wait()
        agent.drain("out of season")
        await source.until(lambda: source.called("drain"))
        finish.set()
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert source.called("drain")[0]["reason"] == "out of season"
    assert source.called("deregister")[0]["reason"] == "out of season"
    for word in ("drain", "deregister"):
        assert source.called(word)[0]["incarnation"] == "incarnation-1"


async def test_an_agent_that_had_to_register_again_speaks_for_that_registration(
    source: FakeSource,
) -> None:
    source.trouble("heartbeat", NotFound("agent", "a-1"))
    agent = agent_of(source, wait_forever, heartbeat_interval_seconds=0.02)
    async with running(agent):
        await source.until(lambda: source.called("register")[1:])
        await source.until(lambda: source.called("heartbeat")[-1]["incarnation"] == "incarnation-2")
    for word in ("drain", "deregister"):
        assert source.called(word)[0]["incarnation"] == "incarnation-2"


async def test_a_draining_agent_takes_nothing_new(source: FakeSource) -> None:
    began, finish = anyio.Event(), anyio.Event()

    async def wait(run: JobRun) -> None:
        began.set()
        await finish.wait()

    source.add()
    agent = agent_of(source, wait)
    async with running(agent):
        await began.wait()
        agent.drain("out of season")
        late = source.add()
        await source.until(lambda: source.called("drain"))
        finish.set()
    assert source.jobs[late].state is JobState.QUEUED
    assert late not in source.releases


async def test_what_runs_longer_than_the_time_of_grace_is_given_back(source: FakeSource) -> None:
    began = anyio.Event()
    seen: list[StopReason | None] = []

    async def wait(run: JobRun) -> None:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(run.stop_reason)

    job = source.add()
    agent = agent_of(source, wait, grace_seconds=0.05)
    async with running(agent):
        await began.wait()
        agent.drain("out of season")
    assert source.releases == {job: "the agent drains: out of season"}
    assert source.outcomes == {}
    assert seen == [StopReason.DRAIN]
    order = methods(source)
    assert order.index("drain") < order.index("release") < order.index("deregister")


async def test_a_thread_is_told_to_stop_and_given_back(source: FakeSource) -> None:
    began = anyio.Event()

    def look(run: JobRun) -> None:
        anyio.from_thread.run_sync(began.set)
        while not run.cancelled:
            threading.Event().wait(0.01)

    job = source.add()
    agent = agent_of(source, look, grace_seconds=0.0)
    async with running(agent):
        await began.wait()
    assert source.releases == {job: "the agent drains: the test is over"}


async def test_a_thread_that_does_not_stop_is_waited_for_and_its_verdict_stands(
    source: FakeSource,
) -> None:
    began, go_on = anyio.Event(), threading.Event()

    def ignore(run: JobRun) -> int:
        anyio.from_thread.run_sync(began.set)
        assert go_on.wait(timeout=PATIENCE)
        return 0

    job = source.add()
    agent = agent_of(source, ignore, grace_seconds=0.0)
    async with running(agent):
        await began.wait()
        agent.drain("out of season")
        await source.until(lambda: source.called("drain"))
        go_on.set()
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert source.releases == {}


async def test_an_idle_agent_does_not_wait_for_its_claim(source: FakeSource) -> None:
    agent = agent_of(source, succeed, claim_wait=600.0)
    async with running(agent):
        await source.until(lambda: source.called("claim"))
    assert methods(source)[-1] == "deregister"


async def test_what_a_claim_in_flight_brings_is_given_back(source: FakeSource) -> None:
    source.trouble("claim", hangs=True, after=True)  # it takes the job, and does not say so
    job = source.add()
    agent = agent_of(source, succeed)
    async with running(agent):
        await source.until(lambda: source.jobs[job].state is JobState.RUNNING)
        agent.drain("out of season")
        await source.until(lambda: source.releases)
    assert source.releases == {job: "claimed while the agent drained: out of season"}
    assert source.outcomes == {}


async def test_a_job_that_may_start_once_only_goes_back_unused_when_a_claim_in_flight_brings_it(
    source: FakeSource,
) -> None:
    source.trouble("claim", hangs=True, after=True)
    job = source.add(delivery=Delivery.AT_MOST_ONCE)
    agent = agent_of(source, succeed)
    async with running(agent):
        await source.until(lambda: source.jobs[job].state is JobState.RUNNING)
    assert source.outcomes == {}
    assert [told["began"] for told in source.called("release")] == [False]


async def test_what_a_handler_began_is_not_given_back_as_unused(source: FakeSource) -> None:
    job = source.add(delivery=Delivery.AT_MOST_ONCE)
    began = anyio.Event()

    async def wait(_run: JobRun) -> None:
        began.set()
        await anyio.sleep_forever()

    async with running(agent_of(source, wait, grace_seconds=0.0)):
        await began.wait()
    assert [told["began"] for told in source.called("release")] == [True]
    assert job in source.releases


async def test_what_a_claim_took_before_an_outage_is_given_back(source: FakeSource) -> None:
    source.trouble("claim", times=None, after=True)
    job = source.add()
    agent = agent_of(source, succeed)
    async with running(agent):
        await source.until(lambda: source.jobs[job].state is JobState.RUNNING)
        agent.drain("out of season")
        await source.until(lambda: source.called("drain"))
        source.mend("claim")
        await source.until(lambda: source.releases)
    assert set(source.releases) == {job}


async def test_a_claim_that_is_never_answered_does_not_hold_the_agent(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core.agent.claim_loop.LAST_WORDS_SECONDS", 0.05)
    source.trouble("claim", times=None, hangs=True)
    agent = agent_of(source, succeed, grace_seconds=0.05)
    async with running(agent):
        await source.until(lambda: source.called("claim"))


async def test_a_word_that_is_not_heard_does_not_hold_the_drain(source: FakeSource) -> None:
    source.trouble("drain", times=None)
    async with running(agent_of(source, succeed)):
        await source.until(lambda: source.called("claim"))
    assert source.called("drain")
    assert source.called("deregister")


async def test_an_agent_that_was_drained_before_it_ran_goes_at_once(source: FakeSource) -> None:
    agent = agent_of(source, succeed)
    job = source.add()
    agent.drain("not today")
    with anyio.fail_after(PATIENCE):
        await agent.run(handle_signals=False)
    assert source.jobs[job].state is JobState.QUEUED


async def test_an_agent_that_can_t_register_can_be_drained(source: FakeSource) -> None:
    source.trouble("register", times=None)
    agent = agent_of(source, succeed)
    async with running(agent):
        await source.until(lambda: source.called("register"))
    assert source.called("claim") == []


async def test_a_handler_may_drain_its_agent(source: FakeSource) -> None:
    agent = agent_of(source, succeed)

    @agent.handler("last")
    def last(run: JobRun) -> None:
        agent.drain("that was the last one")

    source.add("last")
    with anyio.fail_after(PATIENCE):
        await agent.run(handle_signals=False)
    assert source.outcomes["job-1"].verdict is Verdict.SUCCESS


async def test_a_long_reason_is_shortened_on_its_way(source: FakeSource) -> None:
    job = source.add()
    agent = agent_of(source, wait_forever, grace_seconds=0.0)
    async with running(agent):
        await source.until(lambda: source.jobs[job].state is JobState.RUNNING)
        agent.drain("x" * 5000)
    assert source.releases[job].endswith("xxx")


@pytest.mark.parametrize("method", ["held", "release"])
async def test_what_can_t_be_given_back_is_left_to_its_lease(
    source: FakeSource, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    source.trouble("claim", hangs=True, after=True)
    job = source.add()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(agent_of(source, succeed).run, handle_signals=False))
        await source.until(lambda: source.jobs[job].state is JobState.RUNNING)
        source.trouble(method)
        tasks.cancel_scope.cancel()
    assert source.releases == {}
    assert "was not released" in caplog.text


async def test_a_drain_needs_a_reason(source: FakeSource) -> None:
    with pytest.raises(InvalidInput, match="reason"):
        agent_of(source, succeed).drain("")


async def test_an_agent_that_is_cancelled_gives_its_jobs_back(source: FakeSource) -> None:
    jobs = [source.add(), source.add()]
    agent = agent_of(source, wait_forever, slots=2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(agent.run, handle_signals=False))
        await source.until(lambda: all(source.jobs[j].state is JobState.RUNNING for j in jobs))
        tasks.cancel_scope.cancel()
    assert set(source.releases) == set(jobs)
    assert methods(source)[-1] == "deregister"


async def test_threads_learn_that_their_agent_is_cancelled(source: FakeSource) -> None:
    began = anyio.Event()

    def look(run: JobRun) -> None:
        anyio.from_thread.run_sync(began.set)
        while not run.cancelled:
            threading.Event().wait(0.01)

    job = source.add()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(agent_of(source, look).run, handle_signals=False))
        await began.wait()
        tasks.cancel_scope.cancel()
    assert job in source.releases


async def test_an_agent_that_is_cancelled_while_it_claims_gives_back_what_it_got(
    source: FakeSource,
) -> None:
    source.trouble("claim", hangs=True, after=True)
    job = source.add()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(agent_of(source, succeed).run, handle_signals=False))
        await source.until(lambda: source.jobs[job].state is JobState.RUNNING)
        tasks.cancel_scope.cancel()
    assert job in source.releases


async def test_a_side_that_never_answers_does_not_hold_a_cancelled_agent(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("claim_loop", "executor", "agent_session"):
        monkeypatch.setattr(f"cicd_core.agent.{module}.LAST_WORDS_SECONDS", 0.05)
    job = source.add()
    for method in ("release", "deregister"):
        source.trouble(method, times=None, hangs=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(agent_of(source, wait_forever).run, handle_signals=False))
        await source.until(lambda: source.jobs[job].state is JobState.RUNNING)
        tasks.cancel_scope.cancel()
    assert source.releases == {}


async def test_jobs_that_a_job_makes_are_run_before_the_agent_is_idle(source: FakeSource) -> None:
    async def spawn(run: JobRun) -> None:
        if not run.payload:
            child = source.add(payload={"child": True})
            await source.until(lambda: child in source.outcomes)

    source.add()
    await run_until_idle(agent_of(source, spawn, slots=2))
    assert len(source.outcomes) == 2
