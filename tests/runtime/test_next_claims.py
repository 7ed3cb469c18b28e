"""A slot is free when its job has ended: the next job begins while the last one is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.model.job import Verdict
from tests.runtime.embedding import agent_of, run_until_idle, running

if TYPE_CHECKING:
    from cicd_core.agent import JobRun
    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


async def succeed(run: JobRun) -> None:
    """A job with nothing to do."""


class Begun:
    """A handler that notes which jobs begin, and how many run at once."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.most = 0
        self._now = 0

    async def __call__(self, run: JobRun) -> None:
        self.jobs.append(run.job.job_id)
        self._now += 1
        self.most = max(self.most, self._now)
        await anyio.lowlevel.checkpoint()
        self._now -= 1


async def test_a_job_begins_before_the_last_one_s_report_is_answered(
    quick_source: FakeSource,
) -> None:
    source, begun = quick_source, Begun()
    first, second = source.add(), source.add()
    source.trouble("complete", times=None)
    async with running(agent_of(source, begun)):
        await source.until(lambda: begun.jobs == [first, second])
        assert source.outcomes == {}
        # Until its report is answered, the lease of the first is renewed.
        seen = len(source.called("renew"))
        await source.until(
            lambda: any(
                first in {each.job.job_id for each in call["claims"]}
                for call in source.called("renew")[seen:]
            )
        )
        source.mend("complete")
        await source.until(lambda: len(source.outcomes) == 2)
    assert source.releases == {}
    assert begun.most == 1


async def test_no_more_reports_are_left_open_than_there_are_slots(source: FakeSource) -> None:
    begun = Begun()
    jobs = [source.add() for _ in range(9)]
    source.trouble("complete", times=None)
    async with running(agent_of(source, begun, slots=2)):
        # Each of four jobs tries for the third time: the fifth had time enough to begin.
        await source.until(lambda: len(source.called("complete")) >= 12)
        assert sorted(begun.jobs) == jobs[:4]
        source.mend("complete")
        await source.until(lambda: len(source.outcomes) == 9)
    assert begun.most <= 2


async def test_a_drain_waits_for_the_report_of_a_job_whose_slot_is_free(
    source: FakeSource,
) -> None:
    job = source.add()
    source.trouble("complete", times=None)
    agent = agent_of(source, succeed)
    async with running(agent):
        await source.until(lambda: source.called("complete"))
        agent.drain("out of season")
        await source.until(lambda: source.called("drain"))
        source.mend("complete")
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert source.releases == {}


async def test_an_agent_that_ends_when_idle_does_a_job_that_the_last_report_made_ready(
    source: FakeSource,
) -> None:
    source.add()
    source.trouble("complete", times=1)

    def make_ready(number: int) -> None:
        if number == 2:  # by then, the claim beside the report has found nothing
            assert len(source.called("claim")) == 2
            source.add()

    source.on_call("complete", make_ready)
    await run_until_idle(agent_of(source, succeed))
    assert set(source.outcomes) == {"job-1", "job-2"}
