"""Jobs in the hands of those who ask for work: cancel, reprioritise, replay, record."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    IllegalTransition,
    InvalidInput,
    JobSpec,
    JobState,
    LeaseLost,
    NotFound,
    Outcome,
    Priority,
    QueueStatus,
    RetryPolicy,
    TooLarge,
)
from cicd_core.model.choices import text_of
from cicd_core.model.instants import from_micros
from tests.services.scenes import claim, enqueue, finish, nothing_to_claim, one_of_each, run, story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core import ClaimedJob, ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

#: Every command on a job that names it by its id.
COMMANDS: dict[str, Callable[[ControlPlane, str], Awaitable[object]]] = {
    "get": lambda plane, job_id: plane.jobs.get(job_id),
    "submit": lambda plane, job_id: plane.jobs.submit(job_id),
    "cancel": lambda plane, job_id: plane.jobs.cancel(job_id),
    "reprioritise": lambda plane, job_id: plane.jobs.reprioritise(job_id, Priority.HIGH),
    "replay": lambda plane, job_id: plane.jobs.replay(job_id),
    "record_start": lambda plane, job_id: plane.jobs.record_start(job_id),
    "record_execution": lambda plane, job_id: plane.jobs.record_execution(
        job_id, Outcome.exited(0)
    ),
    "why": lambda plane, job_id: plane.jobs.why(job_id),
}


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_job_that_is_not_there_is_not_found(plane: ControlPlane, command: str) -> None:
    with pytest.raises(NotFound) as refused:
        await COMMANDS[command](plane, "nobody")
    assert (refused.value.kind, refused.value.key) == ("job", "nobody")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("job_id", ["", "no good", "x" * 129])
async def test_what_is_no_id_is_refused(plane: ControlPlane, command: str, job_id: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await COMMANDS[command](plane, job_id)
    assert refused.value.field == "job_id"


async def test_a_queued_job_is_cancelled_at_once_and_for_good(plane: ControlPlane) -> None:
    job = await enqueue(plane)
    cancelled = await plane.jobs.cancel(job.job_id, actor="bob", reason="wrong branch")
    assert (cancelled.state, cancelled.cancel_reason) == (JobState.CANCELLED, "wrong branch")
    assert await nothing_to_claim(plane)
    assert await plane.jobs.cancel(job.job_id) == cancelled


async def test_what_has_ended_otherwise_is_not_cancelled(plane: ControlPlane) -> None:
    await enqueue(plane)
    ended = await finish(plane)
    with pytest.raises(IllegalTransition) as refused:
        await plane.jobs.cancel(ended.job_id)
    assert (refused.value.command, refused.value.state) == ("cancel", "success")
    assert await plane.jobs.get(ended.job_id) == ended


async def test_a_dead_letter_is_cancelled(plane: ControlPlane) -> None:
    await enqueue(plane, retry=RetryPolicy(max_attempts=1))
    dead = await finish(plane, Outcome.error("no disk"))
    assert (await plane.jobs.cancel(dead.job_id)).queue_status is QueueStatus.CANCELLED
    assert (await plane.jobs.dead_letters()).items == ()


async def test_a_cancel_and_a_completion_at_once_leave_one_verdict(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    for _ in range(5):
        await enqueue(plane)
        held = await claim(plane)
        refused: list[type[Exception]] = []

        async def cancel(job_id: str, refused: list[type[Exception]]) -> None:
            try:
                await other_plane.jobs.cancel(job_id)
            except IllegalTransition as too_late:
                refused.append(type(too_late))

        async def work(held: ClaimedJob, refused: list[type[Exception]]) -> None:
            try:
                running = await plane.queue.start(held)
                await plane.queue.complete(running, Outcome.exited(0))
            except LeaseLost as lost:
                refused.append(type(lost))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cancel, held.job.job_id, refused)
            tasks.start_soon(work, held, refused)
        ended = await plane.jobs.get(held.job.job_id)
        told = [event.type for event in await story(plane, ended.job_id)]
        assert told.count("job.succeeded") + told.count("job.cancelled") == 1
        assert ended.is_final
        assert (LeaseLost in refused) == (ended.state is JobState.CANCELLED)


async def test_concurrent_commands_on_one_job_all_take_effect(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    job = await enqueue(plane)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(plane.jobs.reprioritise, job.job_id, Priority.HIGH)
        tasks.start_soon(other_plane.jobs.reprioritise, job.job_id, Priority.CRITICAL)
    after = await plane.jobs.get(job.job_id)
    told = [
        event.data["to"]
        for event in await story(plane, job.job_id)
        if event.type == "job.reprioritised"
    ]
    assert sorted(told) == ["critical", "high"]
    assert text_of(after.priority) == told[-1]


async def test_a_run_of_another_system_is_recorded(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await plane.jobs.create(JobSpec(job_type="build"))
    started = await plane.jobs.record_start(job.job_id, actor="jenkins")
    assert (started.state, started.tracked) == (JobState.RUNNING, True)
    assert await plane.jobs.record_start(job.job_id) == started
    clock.advance(90)
    outcome = Outcome.exited(3, logs_url="https://ci/17", logs_summary="3 tests failed")
    ended = await plane.jobs.record_execution(job.job_id, outcome, actor="jenkins")
    assert (ended.state, ended.exit_code) == (JobState.FAILED, 3)
    assert (ended.duration_seconds, ended.logs_url) == (90.0, "https://ci/17")
    assert await plane.jobs.record_execution(job.job_id, outcome) == ended
    with pytest.raises(IllegalTransition):
        await plane.jobs.record_execution(job.job_id, Outcome.exited(0))
    told = [(event.type, event.data["actor"]) for event in await story(plane, job.job_id)]
    assert told[1:] == [("job.started", "jenkins"), ("job.failed", "jenkins")]


async def test_a_run_is_recorded_with_the_times_that_it_had(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await plane.jobs.create(JobSpec(job_type="build"))
    now = from_micros(clock.micros())
    ended = await plane.jobs.record_execution(
        job.job_id,
        Outcome.exited(0),
        started_at=now - timedelta(hours=2),
        completed_at=now - timedelta(hours=1),
    )
    assert ended.duration_seconds == 3600.0
    assert (await plane.queue.stats()).average_run_seconds == 3600.0


async def test_a_run_is_recorded_with_its_length_and_who_ran_it(plane: ControlPlane) -> None:
    job = await plane.jobs.create(JobSpec(job_type="build"))
    ended = await plane.jobs.record_execution(
        job.job_id, Outcome.exited(0), duration_seconds=90, agent_id="jenkins-1"
    )
    assert (ended.duration_seconds, ended.agent_id) == (90.0, "jenkins-1")
    assert (await plane.jobs.list(agent_id="jenkins-1")).items == (ended,)
    with pytest.raises(InvalidInput, match="started_at or duration_seconds, not both"):
        await plane.jobs.record_execution(
            job.job_id, Outcome.exited(0), duration_seconds=9, started_at=ended.started_at
        )


async def test_jobs_are_listed_by_type_and_by_tag(plane: ControlPlane) -> None:
    build = await enqueue(plane, tags=["nightly"], metadata={"team": "web"})
    test = await enqueue(plane, job_type="test", metadata={"nightly": "no"})
    for filters, expected in (
        ({"job_type": "test"}, [test]),
        ({"tag": "nightly"}, [build]),
        ({"tag": "team=web"}, [build]),
        ({"tag": "team"}, []),
        ({"tag": "nightly=no", "job_type": "build"}, []),
    ):
        given: dict[str, Any] = filters
        assert [*(await plane.jobs.list(**given)).items] == expected, filters
        assert [job async for job in plane.jobs.iterate(**given)] == expected


async def test_a_tracked_run_is_given_to_no_agent_and_lost_by_none(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    job = await plane.jobs.create(JobSpec(job_type="build"))
    await plane.jobs.record_start(job.job_id)
    assert await nothing_to_claim(plane)
    clock.advance(10_000_000)
    assert (await plane.maintenance.sweep()).total == 0
    assert (await plane.jobs.cancel(job.job_id)).state is JobState.CANCELLED


async def test_what_the_queue_has_is_not_recorded_from_outside(plane: ControlPlane) -> None:
    job = await enqueue(plane)
    with pytest.raises(IllegalTransition):
        await plane.jobs.record_start(job.job_id)
    await run(plane)
    with pytest.raises(IllegalTransition, match="an agent holds it"):
        await plane.jobs.record_execution(job.job_id, Outcome.exited(0))


@pytest.mark.parametrize("field", ["started_at", "completed_at"])
async def test_a_naive_moment_of_a_run_is_refused(plane: ControlPlane, field: str) -> None:
    job = await plane.jobs.create(JobSpec(job_type="build"))
    naive: dict[str, Any] = {field: datetime(2026, 1, 1)}  # noqa: DTZ001 - what is refused here
    with pytest.raises(InvalidInput) as refused:
        await plane.jobs.record_execution(job.job_id, Outcome.exited(0), **naive)
    assert refused.value.field == field


async def test_a_replay_is_for_dead_letters(plane: ControlPlane) -> None:
    job = await enqueue(plane)
    with pytest.raises(IllegalTransition) as refused:
        await plane.jobs.replay(job.job_id)
    assert (refused.value.command, refused.value.state) == ("replay", "queued")


async def test_two_who_replay_one_dead_letter_replay_it_once(
    plane: ControlPlane, other_plane: ControlPlane
) -> None:
    await enqueue(plane, retry=RetryPolicy(max_attempts=1))
    dead = await finish(plane, Outcome.error("no disk"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(plane.jobs.replay, dead.job_id)
        tasks.start_soon(other_plane.jobs.replay, dead.job_id)
    replayed = await plane.jobs.get(dead.job_id)
    assert (replayed.state, replayed.max_attempts) == (JobState.QUEUED, 2)
    told = [event.type for event in await story(plane, dead.job_id)]
    assert told.count("job.replayed") == 1


async def test_in_every_state_a_command_that_is_not_legal_changes_nothing(
    plane: ControlPlane,
) -> None:
    for job in (await one_of_each(plane)).values():
        for command in ("submit", "replay", "record_start"):
            before = await plane.jobs.get(job.job_id)
            if (job.state, command) in {
                (JobState.PENDING, "submit"),
                (JobState.QUEUED, "submit"),
                (JobState.DEAD_LETTERED, "replay"),
                (JobState.PENDING, "record_start"),
            }:
                continue
            with pytest.raises(IllegalTransition) as refused:
                await COMMANDS[command](plane, job.job_id)
            assert refused.value.state == job.state.value
            assert await plane.jobs.get(job.job_id) == before


async def is_refused_and_nothing_is_written(
    plane: ControlPlane, field: str, give: Callable[[ControlPlane, str], Awaitable[object]]
) -> None:
    await enqueue(plane, retry=RetryPolicy(max_attempts=1))
    dead = await finish(plane, Outcome.error("no disk"))
    before = await story(plane, dead.job_id)
    with pytest.raises(InvalidInput) as refused:
        await give(plane, dead.job_id)
    assert refused.value.field == field
    assert await plane.jobs.get(dead.job_id) == dead
    assert await story(plane, dead.job_id) == before


@pytest.mark.parametrize(
    ("field", "give"),
    [
        ("reason", lambda plane, job_id: plane.jobs.cancel(job_id, reason=7)),
        ("attempts", lambda plane, job_id: plane.jobs.replay(job_id, attempts=0)),
        ("priority", lambda plane, job_id: plane.jobs.reprioritise(job_id, "urgent")),
    ],
)
async def test_a_wrong_argument_of_a_command_is_refused_and_nothing_is_written(
    plane: ControlPlane, field: str, give: Callable[[ControlPlane, str], Awaitable[object]]
) -> None:
    await is_refused_and_nothing_is_written(plane, field, give)


@pytest.mark.parametrize(
    "give",
    [
        lambda plane, job_id: plane.jobs.cancel(job_id, actor=""),
        lambda plane, job_id: plane.jobs.cancel(job_id, actor=chr(0xD800)),
        lambda plane, job_id: plane.jobs.submit(job_id, actor="nul\0"),
        lambda plane, job_id: plane.queue.enqueue(JobSpec(job_type="b"), actor=""),
        lambda plane, job_id: plane.jobs.create(JobSpec(job_type="b"), actor=""),
        lambda plane, job_id: plane.jobs.replay(job_id, actor=""),
    ],
)
async def test_a_wrong_name_of_a_caller_is_refused_and_nothing_is_written(
    plane: ControlPlane, give: Callable[[ControlPlane, str], Awaitable[object]]
) -> None:
    await is_refused_and_nothing_is_written(plane, "actor", give)


async def test_a_name_of_a_caller_that_is_too_long_is_refused(plane: ControlPlane) -> None:
    job = await enqueue(plane)
    with pytest.raises(TooLarge) as refused:
        await plane.jobs.cancel(job.job_id, actor="x" * 257)
    assert refused.value.field == "actor"
