"""Reports that are ready together go in one call, with the next claim; each has its own answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import AgentUnavailable, InvalidInput, UnsupportedCapability
from cicd_core.model.job import Delivery, JobState, Verdict
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running
from tests.runtime.exchanging_source import ExchangingSource

if TYPE_CHECKING:
    from cicd_core.agent import JobRun

pytestmark = pytest.mark.anyio


@pytest.fixture
def source() -> ExchangingSource:
    return ExchangingSource()


async def succeed(run: JobRun) -> None:
    """A job with nothing to do."""


class Together:
    """A handler that ends when so many jobs have begun."""

    def __init__(self, number: int) -> None:
        self._missing = number
        self._all = anyio.Event()

    async def __call__(self, run: JobRun) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._all.set()
        await self._all.wait()


def sent(source: ExchangingSource) -> list[tuple[int, bool]]:
    """How many ends each exchange had, and whether it had a claim."""
    return [(len(call["jobs"]), call["claim"] is not None) for call in source.called("exchange")]


async def test_jobs_that_end_together_are_reported_with_the_next_claim(
    source: ExchangingSource,
) -> None:
    jobs = [source.add() for _ in range(8)]
    await run_until_idle(agent_of(source, Together(8), slots=8))
    assert set(source.outcomes) == set(jobs)
    assert sent(source) == [(8, True)]


async def test_each_job_of_one_slot_takes_one_call(source: ExchangingSource) -> None:
    jobs = [source.add() for _ in range(5)]
    await run_until_idle(agent_of(source, succeed))
    assert [call["job_id"] for call in source.called("complete")] == jobs
    assert sent(source) == [(1, True)] * 5


async def test_reports_wait_for_the_answer_to_a_call_under_way(source: ExchangingSource) -> None:
    go_on = {f"job-{number}": anyio.Event() for number in range(1, 5)}

    async def wait(run: JobRun) -> None:
        await go_on[run.job.job_id].wait()

    def end_the_others(number: int) -> None:
        if number == 1:
            for event in go_on.values():
                event.set()

    for _ in go_on:
        source.add()
    source.on_call("exchange", end_the_others)
    async with running(agent_of(source, wait, slots=4)):
        await source.until(lambda: len(source.called("claim")) >= 1)
        go_on["job-2"].set()
        await source.until(lambda: len(source.outcomes) == 4)
    assert next(call["jobs"] for call in source.called("exchange")) == ["job-2"]
    assert [number for number, _ in sent(source)] == [1, 3]


async def test_an_older_control_plane_gets_one_report_at_a_time(
    source: ExchangingSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="cicd_core.agent")
    jobs = [source.add() for _ in range(6)]
    source.trouble("exchange", UnsupportedCapability("no such route"), times=None)
    await run_until_idle(agent_of(source, Together(3), slots=3))
    assert set(source.outcomes) == set(jobs)
    assert len(source.called("exchange")) == 1
    assert "one report at a time" in caplog.text


async def test_a_refused_report_is_dropped_and_the_others_of_its_call_count(
    source: ExchangingSource, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [source.add() for _ in range(3)]

    def take_away(number: int) -> None:
        if number == 1:
            source.take_away(jobs[1])

    source.on_call("exchange", take_away)
    await run_until_idle(agent_of(source, Together(3), slots=3))
    assert set(source.outcomes) == {jobs[0], jobs[2]}
    assert "the result is dropped" in caplog.text
    assert len(source.called("complete")) == 3


async def test_what_refuses_a_whole_call_is_asked_one_by_one(source: ExchangingSource) -> None:
    jobs = [source.add() for _ in range(3)]
    source.trouble("exchange", InvalidInput("ends[1].outcome", ..., "too long"))
    await run_until_idle(agent_of(source, Together(3), slots=3))
    assert set(source.outcomes) == set(jobs)


@pytest.mark.parametrize("after", [False, True])
async def test_a_call_that_fails_for_a_while_is_made_again(
    source: ExchangingSource, *, after: bool
) -> None:
    jobs = [source.add() for _ in range(6)]
    runs: list[str] = []

    async def count(run: JobRun) -> None:
        runs.append(run.job.job_id)

    source.trouble("exchange", times=2, after=after)
    await run_until_idle(agent_of(source, count, slots=3))
    assert sorted(runs) == jobs
    assert {source.outcomes[job].verdict for job in jobs} == {Verdict.SUCCESS}


async def test_a_claim_refused_in_a_call_is_made_again_and_the_reports_count(
    source: ExchangingSource,
) -> None:
    first, second = source.add(), source.add()

    def refuse(number: int) -> None:
        if number == 1:
            source.trouble("claim", AgentUnavailable("a-1", "unhealthy", "disk at 99 %"))

    source.on_call("exchange", refuse)
    await run_until_idle(agent_of(source, succeed))
    assert set(source.outcomes) == {first, second}


async def test_a_call_that_hangs_stops_no_later_report(
    source: ExchangingSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core.agent.exchanger._KEEPS_WAITING", 0.0)
    source.trouble("exchange", hangs=True)
    first, second = source.add(), "job-2"
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            agent = agent_of(source, succeed, slots=2)
            tasks.start_soon(partial(agent.run, handle_signals=False))
            await source.until(lambda: source.called("exchange"))
            assert source.add() == second
            await source.until(lambda: second in source.outcomes)
            assert first not in source.outcomes
            tasks.cancel_scope.cancel()
    assert {first, second} == set(source.outcomes)


@pytest.mark.parametrize("delivery", list(Delivery))
async def test_jobs_claimed_with_the_last_reports_of_a_draining_agent_are_given_back(
    source: ExchangingSource, delivery: Delivery
) -> None:
    first = source.add()
    agent = agent_of(source, succeed)

    def drain(number: int) -> None:
        if number == 1:
            source.add(delivery=delivery)
            agent.drain("out of season")

    source.on_call("exchange", drain)
    async with running(agent):
        await source.until(lambda: source.releases)
    assert set(source.outcomes) == {first}
    assert source.jobs["job-2"].state is JobState.QUEUED
    assert [told["began"] for told in source.called("release")] == [False]


async def test_a_cancelled_agent_reports_what_a_call_under_way_took_along(
    source: ExchangingSource,
) -> None:
    jobs = [source.add() for _ in range(4)]
    source.trouble("exchange", hangs=True)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            agent = agent_of(source, Together(4), slots=4)
            tasks.start_soon(partial(agent.run, handle_signals=False))
            await source.until(lambda: source.called("exchange"))
            tasks.cancel_scope.cancel()
    assert set(source.outcomes) == set(jobs)
    assert source.releases == {}
