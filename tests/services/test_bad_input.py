"""What bad input gets: a typed error that names what is wrong, and nothing half-written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from cicd_core import (
    AgentSpec,
    CicdError,
    ClaimedJob,
    DeploymentSpec,
    IllegalTransition,
    InvalidCursor,
    InvalidInput,
    JobSpec,
    JobState,
    LeaseLost,
    Outcome,
    PoolSpec,
    Priority,
    RetryPolicy,
    Settings,
    TooLarge,
    Verdict,
)
from cicd_core.model.checks import MAX_BODY_BYTES
from tests.services.scenes import claim, enqueue, everything_told, finish, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core import ControlPlane

pytestmark = pytest.mark.anyio

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - a naive one is what is refused here
LONG = "x" * 129
#: A lone surrogate, which no encoding of the world can write down.
LONE = chr(0xD800)
NO_TEXT: Any = b"bytes"


@frozen(kw_only=True)
class Scene:
    """A control plane in which something has happened already."""

    plane: ControlPlane
    running: ClaimedJob
    stale: ClaimedJob
    done: str
    cursor: str


@pytest.fixture
async def scene(plane: ControlPlane) -> Scene:
    await enqueue(plane)
    stale = await claim(plane)
    await plane.queue.release(stale)
    await enqueue(plane)
    done = await finish(plane)
    await enqueue(plane)
    running = await run(plane)
    page = await plane.jobs.list(limit=1)
    assert page.cursor is not None
    return Scene(plane=plane, running=running, stale=stale, done=done.job_id, cursor=page.cursor)


def spec(**fields: Any) -> JobSpec:
    return JobSpec(**{"job_type": "build", **fields})


def enqueued(**fields: Any) -> Callable[[Scene], Awaitable[object]]:
    return lambda scene: scene.plane.queue.enqueue(spec(**fields))


def claimed(**options: Any) -> Callable[[Scene], Awaitable[object]]:
    return lambda scene: scene.plane.queue.claim(**{"agent_id": "a-1", **options})


#: The field that the error names, and the call that is refused.
WRONG_FIELDS: list[tuple[str, Callable[[Scene], Awaitable[object]]]] = [
    # An unknown status.
    ("status", lambda scene: scene.plane.jobs.list(status="done")),
    ("status", lambda scene: scene.plane.deployments.list(status="done")),
    ("status", lambda scene: scene.plane.agents.list(status="done")),
    # A label, a pool name or any other name that is none.
    ("pool_name", enqueued(pool_name="my pool")),
    ("pool_name", enqueued(pool_name="")),
    ("pool_name", enqueued(pool_name=LONG)),
    ("labels[0]", enqueued(labels=("g,pu",))),
    ("labels[1]", enqueued(labels=("gpu", "a|b"))),
    ("labels", enqueued(labels="gpu")),
    ("tags[0]", enqueued(tags=("",))),
    ("job_type", enqueued(job_type="two words")),
    ("pool_name", claimed(pool_name="my pool")),
    ("labels[0]", claimed(labels=["g pu"])),
    ("job_types[0]", claimed(job_types=["b d"])),
    ("agent_id", claimed(agent_id="")),
    ("agent_id", claimed(agent_id="a b")),
    ("pool_name", lambda scene: scene.plane.pools.put(PoolSpec(pool_name="my pool"))),
    ("pool_name", lambda scene: scene.plane.pools.get("my pool")),
    ("pool_name", lambda scene: scene.plane.queue.stats("my pool")),
    ("pool_name", lambda scene: scene.plane.jobs.list(pool_name="my pool")),
    ("agent_id", lambda scene: scene.plane.agents.register(AgentSpec(agent_id="a b"))),
    (
        "service_name",
        lambda scene: scene.plane.deployments.create(DeploymentSpec(service_name="", version="1")),
    ),
    # A duration that is negative, or none, or too long.
    ("timeout_seconds", enqueued(timeout_seconds=-1)),
    ("timeout_seconds", enqueued(timeout_seconds=float("inf"))),
    ("timeout_seconds", enqueued(timeout_seconds=8 * 86_400)),
    ("retry.backoff_base", enqueued(retry=RetryPolicy(backoff_base=-1))),
    ("retry.max_attempts", enqueued(retry=RetryPolicy(max_attempts=0))),
    ("retry.retry_on", enqueued(retry=RetryPolicy(retry_on=(Verdict.SUCCESS,)))),
    ("wait", claimed(wait=-1)),
    ("wait", claimed(wait=3601)),
    ("wait", claimed(wait="long")),
    ("ttl_seconds", lambda scene: scene.plane.sessions.create("ann", ttl_seconds=-1)),
    # A lease over its maximum.
    ("lease_seconds", claimed(lease_seconds=3601)),
    ("lease_seconds", claimed(lease_seconds=-1)),
    # A number that is none.
    ("limit", claimed(limit=0)),
    ("limit", claimed(limit=257)),
    ("limit", lambda scene: scene.plane.jobs.list(limit=501)),
    ("limit", lambda scene: scene.plane.events.read(limit=0)),
    ("percent", lambda scene: scene.plane.queue.progress(scene.running, percent=101)),
    ("attempts", lambda scene: scene.plane.jobs.replay(scene.done, attempts=101)),
    # A text that not every store can keep.
    ("reason", lambda scene: scene.plane.queue.release(scene.running, reason=NO_TEXT)),
    ("message", lambda scene: scene.plane.queue.progress(scene.running, message=NO_TEXT)),
    ("reason", lambda scene: scene.plane.jobs.cancel(scene.done, reason=NO_TEXT)),
    ("idempotency_key", enqueued(idempotency_key=LONE)),
    ("request_id", claimed(request_id="")),
    ("request_id", claimed(request_id=LONE)),
    ("metadata['a']", enqueued(metadata={"a": LONE})),
    ("payload", enqueued(payload={"a": LONE})),
    ("payload", enqueued(payload={"a": object()})),
    ("payload", enqueued(payload=["a"])),
    # What is no member of an enumeration.
    ("priority", enqueued(priority=1)),
    ("delivery", enqueued(delivery="twice")),
    # A moment that could be any.
    ("run_at", enqueued(run_at=NAIVE)),
    ("deadline_at", enqueued(deadline_at=NAIVE)),
    ("since", lambda scene: scene.plane.jobs.list(since=NAIVE)),
    ("until", lambda scene: scene.plane.jobs.list(until=NAIVE)),
    ("since", lambda scene: scene.plane.queue.stats(since=NAIVE)),
    (
        "since",
        lambda scene: scene.plane.queue.stats(since=datetime(2030, 1, 1, tzinfo=UTC)),
    ),
    ("started_at", lambda scene: scene.plane.jobs.record_start(scene.done, started_at=NAIVE)),
    ("tz", lambda scene: scene.plane.dashboard.summary(tz="Mars/Olympus")),
    # An id that is none.
    ("job_id", lambda scene: scene.plane.jobs.get("no good")),
    ("actor", lambda scene: scene.plane.jobs.cancel(scene.done, actor="")),
]


@pytest.mark.parametrize("said", ["", " \n", "nul\0", LONE, "x" * 5000])
async def test_a_cancel_and_a_release_never_fail_for_their_text(
    plane: ControlPlane, said: str
) -> None:
    first, second = await enqueue(plane), await enqueue(plane)
    released = await plane.queue.release(await run(plane), reason=said)
    assert (released.job_id, released.state) == (first.job_id, JobState.QUEUED)
    cancelled = await plane.jobs.cancel(second.job_id, reason=said)
    assert cancelled.state is JobState.CANCELLED
    assert "\0" not in str(cancelled.cancel_reason)
    assert await plane.jobs.get(second.job_id) == cancelled


@pytest.mark.parametrize(
    ("field", "call"),
    [
        pytest.param(field, call, id=f"{number}: {field}")
        for number, (field, call) in enumerate(WRONG_FIELDS)
    ],
)
async def test_a_wrong_field_is_refused_by_its_name_and_nothing_is_written(
    scene: Scene, field: str, call: Callable[[Scene], Awaitable[object]]
) -> None:
    before = await everything_told(scene.plane)
    with pytest.raises(InvalidInput) as refused:
        await call(scene)
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")
    assert await everything_told(scene.plane) == before


async def test_a_body_over_256_kib_is_refused_with_its_size(scene: Scene) -> None:
    with pytest.raises(TooLarge) as refused:
        await scene.plane.queue.enqueue(spec(payload={"x": "x" * MAX_BODY_BYTES}))
    error = refused.value
    assert (error.field, error.limit) == ("payload", 256 * 1024)
    assert error.size == MAX_BODY_BYTES + len('{"x":""}')
    assert "over the limit" in str(error)


async def test_the_largest_body_goes_all_the_way_through(scene: Scene) -> None:
    text = "x" * (MAX_BODY_BYTES - len('{"x": ""}'))
    job = await scene.plane.queue.enqueue(spec(payload={"x": text}, priority=Priority.CRITICAL))
    told = Outcome.error("e" * 9000, logs_summary="s" * 90_000)
    ended = await scene.plane.queue.complete(await run(scene.plane), told)
    assert ended.job_id == job.job_id
    assert (await scene.plane.jobs.get(job.job_id)).payload == {"x": text}


async def test_more_labels_than_a_job_may_have_are_refused(scene: Scene) -> None:
    labels = tuple(f"l-{number}" for number in range(17))
    with pytest.raises(TooLarge) as refused:
        await scene.plane.queue.enqueue(spec(labels=labels))
    assert (refused.value.field, refused.value.size, refused.value.limit) == ("labels", 17, 16)


async def test_labels_too_long_for_a_lane_are_refused(scene: Scene) -> None:
    labels = tuple(f"{number}{'x' * 100}" for number in range(10))
    with pytest.raises(TooLarge) as refused:
        await scene.plane.queue.enqueue(spec(labels=labels))
    assert refused.value.field == "labels"


async def test_an_illegal_transition_says_from_where_to_where_and_what_is_legal(
    scene: Scene,
) -> None:
    with pytest.raises(IllegalTransition) as refused:
        await scene.plane.jobs.replay(scene.running.job.job_id)
    error = refused.value
    assert (error.kind, error.key) == ("job", scene.running.job.job_id)
    assert (error.command, error.state) == ("replay", "running")
    assert {"complete", "cancel", "release"} <= set(error.legal)
    assert "legal from running: cancel, complete" in str(error)


async def test_an_old_fencing_token_is_refused_with_what_to_do(scene: Scene) -> None:
    with pytest.raises(LeaseLost) as refused:
        await scene.plane.queue.start(scene.stale)
    error = refused.value
    assert (error.job_id, error.fence) == (scene.stale.job.job_id, scene.stale.token.fence)
    assert "stop the work and drop its result" in str(error)


async def test_a_cursor_from_another_query_is_refused_with_what_to_do(scene: Scene) -> None:
    with pytest.raises(InvalidCursor, match="start again without a cursor"):
        await scene.plane.jobs.list(status="queued", cursor=scene.cursor)


def test_an_exit_code_with_no_verdict_is_refused() -> None:
    verdict: Any = None
    with pytest.raises(InvalidInput) as refused:
        Outcome(verdict=verdict, exit_code=1)
    assert refused.value.field == "verdict"


@pytest.mark.parametrize(
    "name", ["lease_seconds", "heartbeat_timeout_seconds", "job_retention_seconds"]
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(name: str) -> None:
    wrong: dict[str, Any] = {name: -1}
    with pytest.raises(InvalidInput) as refused:
        Settings(**wrong)
    assert refused.value.field == name


async def test_every_error_of_the_library_has_one_root_and_can_be_caught_as_python_knows_it(
    scene: Scene,
) -> None:
    with pytest.raises(CicdError):
        await scene.plane.jobs.get("nobody")
    with pytest.raises(LookupError):
        await scene.plane.jobs.get("nobody")
    with pytest.raises(ValueError, match="limit"):
        await scene.plane.jobs.list(limit=0)


async def test_what_a_process_wrote_that_was_no_text_does_not_keep_its_job_from_ending(
    scene: Scene,
) -> None:
    output = b"caf\xe9".decode("utf-8", "surrogateescape")
    ended = await scene.plane.queue.complete(
        await scene.plane.queue.progress(scene.running, message=output),
        Outcome.failed(output, logs_summary=output),
    )
    assert (ended.error_message, ended.logs_summary) == ("caf?", "caf?")
    assert await scene.plane.jobs.get(ended.job_id) == ended


async def test_a_moment_is_the_same_in_every_time_zone(scene: Scene) -> None:
    at = datetime(2027, 6, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    job = await scene.plane.queue.enqueue(spec(run_at=at))
    assert job.run_at == at
    assert job.run_at is not None
    assert job.run_at.tzinfo is UTC
