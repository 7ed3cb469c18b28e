"""The lease keeper: leases live while their jobs do, and an agent that lost one stops at once."""

from __future__ import annotations

import logging
import threading

import anyio
import pytest

from cicd_core.agent import JobRun, StopReason
from cicd_core.agent.active_job import ActiveJob
from cicd_core.agent.lease_clock import PauseWatch, lease_clock
from cicd_core.agent.lease_times import LeaseTimes
from cicd_core.agent.logs import JobLog
from cicd_core.agent.progress import ProgressPost
from cicd_core.errors import AlreadyExists, NotFound, OperationRejected, StoreError
from cicd_core.model.agent import AgentMetrics, AgentStatus
from cicd_core.model.job import Verdict
from cicd_core.threads import run_soon_here
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running
from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


async def succeed(run: JobRun) -> None:
    """A job with nothing to do."""


def short_leases() -> FakeSource:
    return FakeSource(lease_seconds=0.3)


async def test_leases_are_renewed_while_a_handler_blocks_the_event_loop(
    quick_source: FakeSource,
) -> None:
    source = quick_source
    renewed = threading.Event()

    async def block(run: JobRun) -> None:
        assert renewed.wait(timeout=PATIENCE)  # the whole loop stands still

    def see(count: int) -> None:
        if count >= 3:
            renewed.set()

    source.on_call("renew", see)
    job = source.add()
    await run_until_idle(agent_of(source, block))
    assert source.outcomes[job].verdict is Verdict.SUCCESS


async def test_all_leases_are_renewed_in_one_call(quick_source: FakeSource) -> None:
    source = quick_source

    async def wait(run: JobRun) -> None:
        await source.until(lambda: len(source.called("renew")) >= 2)

    for _ in range(3):
        source.add()
    await run_until_idle(agent_of(source, wait, slots=3))
    assert {len(call["claims"]) for call in source.called("renew")[:2]} == {3}


async def test_nothing_is_renewed_before_a_third_of_the_lease(source: FakeSource) -> None:
    source.add()
    await run_until_idle(agent_of(source, succeed))
    assert source.called("renew") == []


async def test_a_lost_lease_fires_the_scope_and_nothing_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = short_leases()
    fired = anyio.Event()
    seen: list[StopReason | None] = []

    async def wait(run: JobRun) -> None:
        source.take_away(run.job.job_id)
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(run.stop_reason)
            fired.set()

    source.add()
    with caplog.at_level(logging.WARNING, "cicd_core.agent"):
        async with running(agent_of(source, wait)):
            await fired.wait()
    assert seen == [StopReason.LEASE_LOST]
    assert source.called("complete") == source.called("release") == []
    assert "lease lost, the result is dropped" in caplog.text


async def test_a_verdict_that_comes_after_the_loss_is_offered_once_and_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = short_leases()

    def ignore(run: JobRun) -> int:
        source.take_away(run.job.job_id)
        while not run.cancelled:
            threading.Event().wait(0.01)
        return 0

    source.add()
    with caplog.at_level(logging.WARNING, "cicd_core.agent"):
        await run_until_idle(agent_of(source, ignore))
    assert len(source.called("complete")) == 1
    assert source.outcomes == {}
    assert "lease lost, the result is dropped: it has another owner" in caplog.text


async def test_a_verdict_is_kept_though_no_renewal_succeeded_for_longer_than_a_lease() -> None:
    source = short_leases()
    source.trouble("renew", times=None)

    def finish(run: JobRun) -> int:
        while run.stop_reason is not StopReason.LEASE_LOST:
            threading.Event().wait(0.01)
        return 0

    job = source.add()
    await run_until_idle(agent_of(source, finish))
    assert source.outcomes[job].verdict is Verdict.SUCCESS


async def test_a_job_that_was_stopped_since_its_lease_could_not_be_renewed_goes_back() -> None:
    source = short_leases()
    source.trouble("renew", times=None)

    async def wait(run: JobRun) -> None:
        await anyio.sleep_forever()

    job = source.add()
    await run_until_idle(agent_of(source, wait))
    assert source.releases == {job: "its lease of 0.3 s could not be renewed in time"}


async def test_a_timeout_that_is_reported_late_stays_a_timeout() -> None:
    source = short_leases()
    source.trouble("renew", times=None)

    def linger(run: JobRun) -> None:
        while not run.cancelled or run.stop_reason is not StopReason.LEASE_LOST:
            threading.Event().wait(0.01)

    job = source.add(timeout_seconds=0.05)
    await run_until_idle(agent_of(source, linger))
    assert source.outcomes[job].verdict is Verdict.TIMEOUT


async def test_progress_is_offered_though_the_lease_is_believed_lost() -> None:
    source = short_leases()
    source.trouble("renew", times=None)

    async def finish(run: JobRun) -> int:
        with anyio.CancelScope(shield=True):
            while run.stop_reason is not StopReason.LEASE_LOST:  # noqa: ASYNC110 - no event tells
                await anyio.sleep(0.01)
            await run.progress(100, "done")
        return 0

    source.add()
    await run_until_idle(agent_of(source, finish))
    assert [told.message for told in source.progress_told] == ["done"]


async def test_a_lease_is_renewed_on_while_its_handler_still_ends() -> None:
    source = short_leases()
    source.trouble("renew", times=None)
    renewed = threading.Event()

    def linger(run: JobRun) -> int:
        while run.stop_reason is not StopReason.LEASE_LOST:
            threading.Event().wait(0.01)
        source.mend("renew")
        source.on_call("renew", lambda _: renewed.set())
        assert renewed.wait(20)
        return 0

    job = source.add()
    await run_until_idle(agent_of(source, linger))
    assert source.outcomes[job].verdict is Verdict.SUCCESS


@pytest.mark.parametrize("look", ["cancelled", "stop_reason", "cancel_reason", "log", "progress"])
async def test_a_handler_that_wakes_up_after_its_lease_is_stopped_before_it_goes_on(
    source: FakeSource, look: str
) -> None:
    source.add()
    (claimed,) = await source.claim(agent_id="a", request_id="r")
    holding = ActiveJob(claimed, run_soon_here())
    log = JobLog(None)
    post = ProgressPost(holding, source, lambda _: True, lambda _: None)
    run = JobRun(holding, log, post)
    holding.keep_to(
        LeaseTimes(
            valid_until=lease_clock() - 1.0,
            at_limit=False,
            lease_seconds=30.0,
            timeout_at=lease_clock() + 600.0,
            stop_seconds=5.0,
        )
    )
    if look == "log":
        run.log("still here")
    elif look == "progress":
        await run.progress(50)
    else:
        assert getattr(run, look)
    assert holding.lost
    log.close()


@pytest.mark.thorough
async def test_leases_are_renewed_at_once_after_a_pause(
    source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def look(self: PauseWatch, due_at: float) -> float:
        return pauses.pop() if pauses else 0.0

    monkeypatch.setattr(PauseWatch, "look", look)

    async def wait(run: JobRun) -> None:
        assert source.called("renew") == []
        pauses.append(7.0)
        await source.until(lambda: source.called("renew"))

    job = source.add()
    await run_until_idle(agent_of(source, wait))
    assert source.outcomes[job].verdict is Verdict.SUCCESS


async def test_the_agent_counts_from_what_was_granted() -> None:
    source = FakeSource(lease_seconds=3600.0)
    source.seconds_left = 0.3
    source.trouble("renew", times=None)

    async def wait(run: JobRun) -> None:
        await anyio.sleep_forever()

    job = source.add()
    await run_until_idle(agent_of(source, wait))
    assert job in source.releases


@pytest.mark.thorough
async def test_a_renewal_that_grants_less_stops_the_work_by_then(quick_source: FakeSource) -> None:
    source = quick_source

    async def wait(run: JobRun) -> None:
        source.seconds_left = 0.5
        await source.until(lambda: source.called("renew"))
        source.trouble("renew", times=None)
        await anyio.sleep_forever()

    job = source.add()
    await run_until_idle(agent_of(source, wait))
    assert job in source.releases or source.outcomes[job].verdict is Verdict.ERROR


async def test_an_agent_that_can_t_renew_fences_itself() -> None:
    source = short_leases()
    source.trouble("renew", times=None)
    seen: list[str | None] = []

    async def wait(run: JobRun) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(run.cancel_reason)

    source.add()
    await run_until_idle(agent_of(source, wait))
    assert seen == ["its lease of 0.3 s could not be renewed in time"]
    assert source.called("renew")
    assert source.outcomes == {}


async def test_an_agent_whose_renewals_are_never_answered_fences_itself() -> None:
    source = short_leases()
    source.trouble("renew", times=None, hangs=True)
    seen: list[StopReason | None] = []

    async def wait(run: JobRun) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append(run.stop_reason)

    source.add()
    await run_until_idle(agent_of(source, wait))
    assert seen == [StopReason.LEASE_LOST]


async def test_an_outage_that_is_shorter_than_the_lease_does_no_harm(
    quick_source: FakeSource,
) -> None:
    source = quick_source
    source.trouble("renew", times=2)

    async def wait(run: JobRun) -> None:
        await source.until(lambda: len(source.called("renew")) >= 4)

    job = source.add()
    await run_until_idle(agent_of(source, wait))
    assert source.outcomes[job].verdict is Verdict.SUCCESS


async def test_heartbeats_tell_the_load_and_the_slots_in_use(source: FakeSource) -> None:
    load = AgentMetrics(cpu_percent=12.5)

    async def wait(run: JobRun) -> None:
        # One that is not measured in time goes without them.
        await source.until(
            lambda: (
                (1, load)
                in [(call["running"], call["metrics"]) for call in source.called("heartbeat")]
            )
        )

    source.add()
    agent = agent_of(source, wait, slots=2, metrics=lambda: load, heartbeat_interval_seconds=0.05)
    await run_until_idle(agent)
    assert {call["incarnation"] for call in source.called("heartbeat")} == {"incarnation-1"}


async def test_metrics_that_hang_stop_no_heartbeat_and_take_one_thread(source: FakeSource) -> None:
    measuring: list[int] = []
    may_end, again = threading.Event(), threading.Event()

    def measure() -> AgentMetrics:
        measuring.append(threading.get_ident())
        if len(measuring) > 1:
            again.set()
        else:
            assert may_end.wait(PATIENCE)
        return AgentMetrics(cpu_percent=1)

    agent = agent_of(source, succeed, metrics=measure, heartbeat_interval_seconds=0.05)
    try:
        async with running(agent):
            await source.until(lambda: len(source.called("heartbeat")) >= 4)
            assert len(measuring) == 1
            may_end.set()
            await source.until(again.is_set)
    finally:
        may_end.set()
    assert source.called("heartbeat")[0]["metrics"] is None


def broken() -> AgentMetrics:
    raise OSError("no such sensor")


@pytest.mark.parametrize("metrics", [broken, lambda: AgentMetrics(cpu_percent=140)])
async def test_metrics_that_can_t_be_measured_do_not_stop_the_heartbeat(
    source: FakeSource, metrics: object
) -> None:
    async with running(agent_of(source, succeed, metrics=metrics, heartbeat_interval_seconds=0.05)):
        await source.until(lambda: len(source.called("heartbeat")) >= 2)
    assert {beat["metrics"] for beat in source.called("heartbeat")} == {None}


async def test_a_heartbeat_that_fails_is_sent_again(source: FakeSource) -> None:
    source.trouble("heartbeat", times=2)
    async with running(agent_of(source, succeed, heartbeat_interval_seconds=0.05)):
        await source.until(lambda: len(source.called("heartbeat")) >= 4)


async def test_an_agent_that_was_forgotten_registers_again(source: FakeSource) -> None:
    source.trouble("heartbeat", NotFound("agent", "a"))
    async with running(agent_of(source, succeed, heartbeat_interval_seconds=0.05)):
        await source.until(lambda: len(source.called("heartbeat")) >= 3)
    assert source.called("heartbeat")[-1]["incarnation"] == "incarnation-2"


async def test_a_registration_that_is_refused_is_tried_again_at_the_next_heartbeat(
    source: FakeSource,
) -> None:
    source.trouble("heartbeat", NotFound("agent", "a"), times=3)

    def refuse(count: int) -> None:
        if count == 1:
            source.trouble("register", AlreadyExists("agent", "a"), times=2)

    source.on_call("heartbeat", refuse)
    async with running(agent_of(source, succeed, heartbeat_interval_seconds=0.05)):
        await source.until(lambda: len(source.called("heartbeat")) >= 5)
    assert len(source.called("register")) == 4


@pytest.mark.parametrize(
    "method", ["register", "sibling", "heartbeat", "renew", "claim", "progress", "complete"]
)
async def test_a_store_error_without_a_class_of_its_own_ends_no_agent(
    quick_source: FakeSource, method: str
) -> None:
    source = quick_source
    source.trouble(method, StoreError("locking protocol"), times=2)

    async def work(run: JobRun) -> None:
        await run.progress(50)
        await source.until(lambda: len(source.called("renew")) >= 3)
        await source.until(lambda: len(source.called("heartbeat")) >= 3)

    job = source.add()
    await run_until_idle(agent_of(source, work, heartbeat_interval_seconds=0.05))
    assert method not in source.troubles
    assert source.outcomes[job].verdict is Verdict.SUCCESS


async def test_an_agent_whose_place_was_taken_finishes_and_ends_with_the_error(
    source: FakeSource,
) -> None:
    async def wait(run: JobRun) -> None:
        source.trouble("heartbeat", OperationRejected("another process is that agent now"))
        await source.until(lambda: "heartbeat" not in source.troubles)

    job = source.add()
    agent = agent_of(source, wait, heartbeat_interval_seconds=0.05)
    with anyio.fail_after(PATIENCE), pytest.raises(OperationRejected, match="another process"):
        await agent.run(handle_signals=False)
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert source.called("drain") == source.called("deregister") == []


async def test_the_control_plane_can_drain_an_agent(source: FakeSource) -> None:
    agent = agent_of(source, succeed, heartbeat_interval_seconds=0.05)

    def drain_it(count: int) -> None:
        source.agent_status = AgentStatus.TERMINATING
        source.drain_reason = "the machine is wanted elsewhere"

    source.on_call("claim", drain_it)
    with anyio.fail_after(PATIENCE):
        await agent.run(handle_signals=False)
    assert source.called("deregister")[0]["reason"] == "the machine is wanted elsewhere"


async def test_the_keeper_has_a_way_of_its_own_to_the_source(source: FakeSource) -> None:
    async with running(agent_of(source, succeed)):
        await source.until(lambda: source.siblings_open == 1)
    assert source.siblings_open == 0


async def test_the_keeper_connects_again_and_again(source: FakeSource) -> None:
    source.trouble("sibling", times=2)
    async with running(agent_of(source, succeed)):
        await source.until(lambda: source.siblings_open == 1)


async def test_jobs_time_out_while_the_keeper_is_not_connected(source: FakeSource) -> None:
    source.trouble("sibling", times=None)

    async def wait(run: JobRun) -> None:
        await anyio.sleep_forever()

    job = source.add(timeout_seconds=0.05)
    await run_until_idle(agent_of(source, wait))
    assert source.outcomes[job].verdict is Verdict.TIMEOUT


async def test_the_death_of_the_keeper_ends_the_agent_and_gives_its_jobs_back(
    source: FakeSource,
) -> None:
    async def wait(run: JobRun) -> None:
        source.trouble("heartbeat", ZeroDivisionError("a bug"))
        await anyio.sleep_forever()

    job = source.add()
    with pytest.raises(RuntimeError, match="the lease renewer failed") as caught:
        await run_until_idle(agent_of(source, wait, heartbeat_interval_seconds=0.05))
    assert caught.value.__cause__ is not None
    assert job in source.releases


async def test_the_agent_leaves_no_thread_when_it_is_cancelled(source: FakeSource) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(agent_of(source, succeed).run)
        await source.until(lambda: source.called("claim"))
        tasks.cancel_scope.cancel()
    assert source.siblings_open == 0
