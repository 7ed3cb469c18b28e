"""The claim loop asks for what it can do, when it can do it, and loses nothing on the way."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.agent import Agent, JobRun, retry
from cicd_core.errors import (
    AgentUnavailable,
    AlreadyExists,
    CicdError,
    CorruptRecord,
    InvalidInput,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnsupportedCapability,
)
from cicd_core.model.job import Delivery, JobState, Verdict
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running
from tests.runtime.fake_source import FakeSource

if TYPE_CHECKING:
    from cicd_core.errors import CicdError

pytestmark = pytest.mark.anyio


async def succeed(run: JobRun) -> None:
    """A job with nothing to do."""


async def test_an_agent_runs_all_that_is_queued_and_returns_when_it_is_idle(
    source: FakeSource,
) -> None:
    jobs = [source.add() for _ in range(5)]
    await run_until_idle(agent_of(source, succeed, slots=2))
    assert {job: source.outcomes[job].verdict for job in jobs} == dict.fromkeys(
        jobs, Verdict.SUCCESS
    )


async def test_a_claim_says_all_that_the_agent_is(source: FakeSource) -> None:
    source.add()
    agent = agent_of(
        source, succeed, pool="arm", labels=["linux", "gpu"], slots=3, lease_seconds=12.0
    )
    await run_until_idle(agent)
    claim = source.called("claim")[0]
    assert claim["agent_id"] == agent.agent_id
    assert claim["pool_name"] == "arm"
    assert claim["labels"] == ("gpu", "linux")
    assert claim["lease_seconds"] == 12.0
    assert claim["start"] is True


async def test_it_asks_for_as_many_jobs_as_slots_are_free(source: FakeSource) -> None:
    enough = anyio.Event()

    async def wait(run: JobRun) -> None:
        await enough.wait()

    source.add()
    source.add()
    async with running(agent_of(source, wait, slots=3)):
        await source.until(lambda: len(source.called("claim")) == 2)
        enough.set()
    assert [claim["limit"] for claim in source.called("claim")][:2] == [3, 1]


@pytest.mark.parametrize("requested", [None, 12.0])
async def test_a_claim_ends_before_the_leases_that_the_agent_holds_can_expire(
    source: FakeSource, requested: float | None
) -> None:
    enough = anyio.Event()

    async def wait(run: JobRun) -> None:
        await enough.wait()

    source.lease_seconds = 12.0 if requested is None else 300.0
    source.add()
    agent = agent_of(source, wait, slots=2, claim_wait=300.0, lease_seconds=requested)
    async with running(agent):
        await source.until(lambda: len(source.called("claim")) == 2)
        enough.set()
    # A lease is renewed after a third of its life, so that two thirds are left at least.
    assert [claim["wait"] for claim in source.called("claim")][:2] == [300.0, pytest.approx(8.0)]


async def test_it_never_asks_for_types_that_it_has_no_handler_for(source: FakeSource) -> None:
    other = source.add("deploy")
    done = source.add("work")
    await run_until_idle(agent_of(source, succeed))
    assert set(source.outcomes) == {done}
    assert source.jobs[other].state is JobState.QUEUED
    assert {claim["job_types"] for claim in source.called("claim")} == {("work",)}


async def test_it_claims_the_next_job_while_another_one_runs(source: FakeSource) -> None:
    second_began = anyio.Event()

    async def meet(run: JobRun) -> None:
        if run.payload:
            second_began.set()
        await second_began.wait()

    first = source.add()
    async with running(agent_of(source, meet, slots=2)):
        await source.until(lambda: source.jobs[first].state is JobState.RUNNING)
        source.add(payload={"second": True})
        await source.until(lambda: len(source.outcomes) == 2)


async def test_it_waits_for_work_at_the_other_side(source: FakeSource) -> None:
    async with running(agent_of(source, succeed, claim_wait=300.0)):
        await source.until(lambda: source.called("claim"))
        source.trouble("complete", times=None)
        job = source.add()
        await source.until(lambda: len(source.called("claim")) == 2)
        source.mend("complete")
        await source.until(lambda: job in source.outcomes)
    first, second = source.called("claim")
    # The second is sent beside the report of the job, whose lease of 30 s it must not outlast.
    assert [first["wait"], second["wait"]] == [300.0, pytest.approx(20.0)]
    # What the second, cut short by the drain, has given is asked for, and nothing new.
    assert [asked["request_id"] for asked in source.called("held")] == [second["request_id"]]


@pytest.mark.parametrize("how", ["drain", "cancel"])
async def test_an_agent_that_stops_while_its_claims_fail_takes_nothing_new(
    source: FakeSource, how: str
) -> None:
    source.trouble("claim", times=None)
    jobs = [source.add(), source.add(delivery=Delivery.AT_MOST_ONCE)]
    agent = agent_of(source, succeed, slots=4)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(agent.run, handle_signals=False))
            await source.until(lambda: source.called("claim"))
            source.mend("claim")
            if how == "cancel":
                tasks.cancel_scope.cancel()
            else:
                agent.drain("out of season")
    assert [source.jobs[job].state for job in jobs] == [JobState.QUEUED] * 2
    assert (source.releases, source.outcomes, len(source.called("claim"))) == ({}, {}, 1)
    assert source.called("held")


async def test_what_a_claim_got_before_it_was_refused_for_good_is_given_back(
    source: FakeSource,
) -> None:
    job = source.add(delivery=Delivery.AT_MOST_ONCE)
    source.trouble("claim", after=True)

    def refuse(number: int) -> None:
        if number == 1:
            source.trouble("claim", InvalidInput("pool_name", "?", "give a name"))

    source.on_call("claim", refuse)
    with pytest.raises(InvalidInput):
        await run_until_idle(agent_of(source, succeed))
    assert [told["began"] for told in source.called("release")] == [False]
    assert source.releases[job]


async def test_every_claim_has_a_request_id_of_its_own(source: FakeSource) -> None:
    for _ in range(4):
        source.add()
    await run_until_idle(agent_of(source, succeed))
    ids = [claim["request_id"] for claim in source.called("claim")]
    assert len(ids) == len(set(ids))
    # One for each job, perhaps one beside the last report, and one after it.
    assert len(ids) in {5, 6}


async def test_a_claim_whose_answer_is_lost_is_repeated_with_the_same_id(
    source: FakeSource,
) -> None:
    job = source.add()
    source.trouble("claim", after=True)
    runs: list[int] = []

    async def count(run: JobRun) -> None:
        runs.append(run.fence)

    await run_until_idle(agent_of(source, count))
    lost, repeated, *_ = source.called("claim")
    assert lost["request_id"] == repeated["request_id"]
    assert runs == [1]
    assert source.outcomes[job].verdict is Verdict.SUCCESS


@pytest.mark.parametrize(
    "error",
    [
        None,
        StoreFull("no room"),
        CorruptRecord("jobs", "job-9", "damaged"),
        StoreError("locking protocol"),
    ],
)
async def test_a_store_that_fails_for_a_while_is_asked_again(
    source: FakeSource, error: CicdError | None
) -> None:
    job = source.add()
    source.trouble("claim", error, times=2)
    await run_until_idle(agent_of(source, succeed))
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert len({claim["request_id"] for claim in source.called("claim")[:3]}) == 1


async def test_the_registration_is_repeated_until_it_is_heard(source: FakeSource) -> None:
    source.trouble("register", times=2)
    await run_until_idle(agent_of(source, succeed, labels=["b", "a"], slots=4, version="1.2"))
    spec = source.called("register")[2]["spec"]
    assert (spec.labels, spec.slots, spec.version) == (("a", "b"), 4, "1.2")
    assert spec.job_types == ("work",)


async def test_a_claim_that_is_refused_for_good_ends_the_agent(source: FakeSource) -> None:
    source.trouble("claim", InvalidInput("pool_name", "?", "give another"))
    with pytest.raises(InvalidInput, match="pool_name"):
        await run_until_idle(agent_of(source, succeed))
    assert source.called("deregister")
    assert source.siblings_open == 0


async def test_what_runs_is_given_back_when_a_claim_is_refused_for_good(
    source: FakeSource,
) -> None:
    async def wait(run: JobRun) -> None:
        source.trouble("claim", InvalidInput("pool_name", "?", "give another"), times=None)
        if len(source.jobs) == 1:
            source.add()  # so that the claim that waits already is answered
        await anyio.sleep_forever()

    source.add()
    with pytest.raises(InvalidInput, match="pool_name"):
        await run_until_idle(agent_of(source, wait, slots=3))
    assert set(source.releases) == {"job-1", "job-2"}


async def test_a_job_whose_claim_was_long_on_its_way_is_confirmed_before_it_begins() -> None:
    source = FakeSource(lease_seconds=0.6)
    confirmed: list[int] = []

    async def look(run: JobRun) -> None:
        confirmed.append(len(source.called("renew")))

    async with running(agent_of(source, look, heartbeat_interval_seconds=0.1)):
        # Six heartbeats take most of a lease's time; only then the answer comes.
        await source.until(lambda: len(source.called("heartbeat")) >= 6)
        source.add()
        await source.until(lambda: source.outcomes)
    assert confirmed[0] >= 1


async def test_a_job_that_was_lost_on_its_way_never_begins() -> None:
    source = FakeSource(lease_seconds=0.6)
    runs: list[str] = []

    async def look(run: JobRun) -> None:
        runs.append(run.job.job_id)

    source.expires_on_the_way = True
    async with running(agent_of(source, look, heartbeat_interval_seconds=0.1)):
        await source.until(lambda: len(source.called("heartbeat")) >= 6)
        source.add()
        await source.until(lambda: len(source.called("claim")) >= 2)
    assert runs == []
    assert source.outcomes == {}


async def test_a_job_that_can_t_be_confirmed_never_begins(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = FakeSource(lease_seconds=0.3)
    runs: list[str] = []

    async def look(run: JobRun) -> None:
        runs.append(run.job.job_id)

    source.trouble("renew", times=None)
    async with running(agent_of(source, look, heartbeat_interval_seconds=0.1)):
        await source.until(lambda: len(source.called("heartbeat")) >= 4)
        source.add()
        await source.until(lambda: len(source.called("claim")) >= 2)
    assert runs == []
    assert "it cannot be confirmed" in caplog.text


async def test_a_second_run_at_the_same_time_is_refused(source: FakeSource) -> None:
    agent = agent_of(source, succeed)
    async with running(agent):
        await source.until(lambda: source.called("claim"))
        with pytest.raises(Exception, match="already runs"):
            await agent.run(handle_signals=False)


async def test_an_agent_may_run_again_after_it_has_run(source: FakeSource) -> None:
    agent = agent_of(source, succeed)
    source.add()
    await run_until_idle(agent)
    source.add()
    await run_until_idle(agent)
    assert len(source.outcomes) == 2


async def test_an_agent_without_handlers_does_not_run(source: FakeSource) -> None:
    with pytest.raises(InvalidInput, match="handlers"):
        await Agent(source).run()


async def test_a_made_up_id_tells_the_host_and_is_never_the_same(source: FakeSource) -> None:
    first, second = Agent(source, hostname="build box"), Agent(source, hostname="build box")
    assert first.agent_id.startswith("build-box-")
    assert first.agent_id != second.agent_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slots", 0),
        ("labels", "linux"),
        ("pool", "no such name!"),
        ("grace_seconds", -1.0),
        ("claim_wait", float("nan")),
        ("heartbeat_interval_seconds", 0.0),
        ("agent_id", "a b"),
    ],
)
async def test_a_wrong_field_is_refused_by_its_name(
    source: FakeSource, field: str, value: object
) -> None:
    with pytest.raises(InvalidInput, match=field):
        agent_of(source, succeed, **{field: value})


async def test_an_agent_that_is_unfit_asks_again_until_it_is_better(
    source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    job = source.add()
    source.trouble("claim", AgentUnavailable("a-1", "unhealthy", "disk at 99 %"), times=2)
    await run_until_idle(agent_of(source, succeed))
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert "disk at 99 %" in caplog.text
    asked = [claim["request_id"] for claim in source.called("claim")][:3]
    assert asked == asked[:1] * 3, "what it asked before may have got something"


async def test_an_agent_that_runs_until_it_is_idle_ends_with_why_it_gets_no_work(
    source: FakeSource,
) -> None:
    source.add()
    source.trouble("claim", AgentUnavailable("a-1", "unhealthy", "disk at 99 %"), times=None)
    with pytest.raises(AgentUnavailable, match="disk at 99 %"):
        await run_until_idle(agent_of(source, succeed))
    assert source.called("deregister")


async def test_a_store_that_can_never_serve_the_agent_ends_it(source: FakeSource) -> None:
    source.trouble("claim", UnsupportedCapability("no index"))
    with pytest.raises(UnsupportedCapability, match="no index"):
        await run_until_idle(agent_of(source, succeed))


async def test_a_registration_that_somebody_else_was_in_the_way_of_is_repeated(
    source: FakeSource,
) -> None:
    source.trouble("register", AlreadyExists("agent", "a-1"), times=2)
    await run_until_idle(agent_of(source, succeed))
    assert len(source.called("register")) == 3


async def test_an_agent_that_is_unfit_goes_when_it_is_to(source: FakeSource) -> None:
    source.trouble("claim", AgentUnavailable("a-1", "unhealthy", "disk at 99 %"), times=None)
    async with running(agent_of(source, succeed)):
        await source.until(lambda: source.called("claim"))
    assert source.called("deregister")


@pytest.mark.parametrize("method", ["register", "claim"])
async def test_an_agent_that_ends_when_idle_gives_up_after_an_outage(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(retry, "OUTAGE_SECONDS", 0.05)
    source.trouble(method, times=None)
    with pytest.raises(StoreUnavailable, match="pulled the plug"):
        await run_until_idle(agent_of(source, succeed))
    assert len(source.called(method)) > 1


async def test_an_outage_within_its_limit_does_not_end_an_agent_that_ends_when_idle(
    source: FakeSource,
) -> None:
    job = source.add()
    source.trouble("register", times=2)
    source.trouble("claim", times=2)
    await run_until_idle(agent_of(source, succeed))
    assert job in source.outcomes


@pytest.mark.parametrize("method", ["register", "claim"])
async def test_an_agent_that_does_not_end_when_idle_never_gives_up(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(retry, "OUTAGE_SECONDS", 0.0)
    source.trouble(method, times=3)
    job = source.add()
    async with running(agent_of(source, succeed)):
        await source.until(lambda: job in source.outcomes)


async def test_an_outage_ends_no_agent_that_still_runs_a_job(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "OUTAGE_SECONDS", 0.0)
    job = source.add()

    async def outlive_the_outage(run: JobRun) -> None:
        source.trouble("claim", times=2)
        await source.until(lambda: "claim" not in source.troubles)

    await run_until_idle(agent_of(source, outlive_the_outage, slots=2))
    assert job in source.outcomes
