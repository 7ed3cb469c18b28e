"""Opening a control plane, and leaving it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from cicd_core import (
    AlreadyExists,
    ControlPlane,
    InvalidInput,
    JobSpec,
    JobState,
    NotFound,
    Outcome,
    Settings,
    StoreClosed,
    UnknownScheme,
)
from cicd_core.ids import IdSource
from cicd_core.model.instants import from_micros
from tests.patience import PATIENCE
from tests.services.scenes import claim, enqueue, finish, run

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.contract import Store
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def test_a_control_plane_is_opened_by_a_url_and_used(store_url: str) -> None:
    async with ControlPlane.open(store_url) as plane:
        await enqueue(plane)
        assert (await finish(plane)).state is JobState.SUCCESS


async def test_a_control_plane_in_memory_is_the_default() -> None:
    async with ControlPlane.open("memory://") as plane, ControlPlane.open("memory://") as another:
        await enqueue(plane)
        assert (await another.jobs.list()).items == ()


async def test_an_open_control_plane_looks_after_what_is_due(
    store_url: str, clock: VirtualClock
) -> None:
    settings = Settings(sweep_seconds=0.01)
    async with ControlPlane.open(store_url, settings=settings, clock=clock) as plane:
        job = await enqueue(plane, run_at=from_micros(clock.micros() + 5_000_000))
        clock.advance(5)
        with anyio.fail_after(PATIENCE):
            (claimed,) = await plane.queue.claim(agent_id="a-1", wait=60)
    assert claimed.job.job_id == job.job_id


async def test_a_control_plane_that_was_told_not_to_look_leaves_it(
    store_url: str, clock: VirtualClock
) -> None:
    settings = Settings(sweep_seconds=0.01)
    async with ControlPlane.open(
        store_url, settings=settings, clock=clock, maintenance=False
    ) as plane:
        job = await enqueue(plane, run_at=from_micros(clock.micros() + 5_000_000))
        clock.advance(5)
        assert await plane.queue.claim(agent_id="a-1", wait=0.2) == []
        assert (await plane.jobs.get(job.job_id)).ready_at is None


@pytest.mark.parametrize("maintenance", [True, False])
async def test_an_error_inside_comes_out_as_it_is(store_url: str, maintenance: bool) -> None:
    with pytest.raises(NotFound):
        async with ControlPlane.open(store_url, maintenance=maintenance) as plane:
            await plane.jobs.get("nobody")


async def test_a_cancellation_inside_comes_out_as_one(store_url: str) -> None:
    with anyio.move_on_after(PATIENCE) as scope:
        async with ControlPlane.open(store_url):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_an_unknown_scheme_lists_those_that_are_known() -> None:
    with pytest.raises(UnknownScheme) as refused:
        async with ControlPlane.open("carrier-pigeon://loft"):
            pass
    assert {"memory", "sqlite"} <= set(refused.value.known)


async def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidInput, match="colour"):
        async with ControlPlane.open("memory://?colour=red"):
            pass


async def test_a_store_of_ones_own_stays_open(store: Store) -> None:
    plane = ControlPlane(store)
    await enqueue(plane)
    assert len((await ControlPlane(store).jobs.list()).items) == 1
    assert (await store.now()).micros


async def test_a_sibling_shares_the_data_and_the_settings(store: Store) -> None:
    plane = ControlPlane(store, settings=Settings(lease_seconds=77))
    async with plane.sibling() as sibling:
        await enqueue(plane)
        held = await claim(sibling)
        assert held.lease_seconds == 77
        assert (await plane.queue.renew([held]))[0].held


async def test_a_sibling_lives_in_another_threads_event_loop(
    plane: ControlPlane, anyio_backend: str
) -> None:
    await enqueue(plane)
    running = await run(plane)

    async def complete_from_there() -> None:
        async with plane.sibling() as sibling:
            await sibling.queue.complete(running, Outcome.exited(0))

    await anyio.to_thread.run_sync(lambda: anyio.run(complete_from_there, backend=anyio_backend))
    assert (await plane.jobs.get(running.job.job_id)).state is JobState.SUCCESS


async def test_the_ids_of_a_simulation_are_reproducible(store: Store) -> None:
    async def make(seed: int) -> list[str]:
        plane = ControlPlane(store, ids=IdSource(seed))
        jobs = await plane.queue.enqueue_many([JobSpec(job_type="build")] * 3)
        return [job.job_id for job in jobs]

    first = await make(1)
    assert first == sorted(first)
    assert await make(2) != first


class Stuck(IdSource):
    """A source that gives one id again and again."""

    def sortable(self, micros: int) -> str:
        return "the-one-and-only"


async def test_a_job_whose_id_is_taken_is_refused_and_not_overwritten(store: Store) -> None:
    first = await enqueue(ControlPlane(store, ids=Stuck()), tags=("first",))
    with pytest.raises(AlreadyExists) as refused:
        await enqueue(ControlPlane(store, ids=Stuck()), tags=("second",))
    assert refused.value.key == first.job_id == "the-one-and-only"
    assert (await ControlPlane(store).jobs.get(first.job_id)).tags == ("first",)


@pytest.mark.asyncio_only
async def test_a_store_that_was_closed_is_refused_without_being_asked_again(tmp_path: Path) -> None:
    async with ControlPlane.open(f"sqlite:///{tmp_path}/ci.db") as plane:
        await enqueue(plane)
    with pytest.raises(StoreClosed):
        await enqueue(plane)
