"""A decision that is made again after a conflict is made at the time of that try."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import ControlPlane, Outcome
from cicd_core.store.records import Conflict
from tests.services.broken_stores import Relay
from tests.services.scenes import SETTINGS, enqueue, run, story

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core import ClaimedJob, Job
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

#: How long the try takes that conflicts, in seconds.
LATE = 40


class Slow(Relay):
    """Answers the first commit, late, that another one was first."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        super().__init__(store)
        self._clock = clock
        self._is_first = True

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if not self._is_first:
            return await super().commit(commits)
        self._is_first = False
        self._clock.advance(LATE)
        return [Conflict(()) for _ in commits]


async def complete(plane: ControlPlane, claimed: ClaimedJob) -> Job:
    return await plane.queue.complete(claimed, Outcome.success())


async def release(plane: ControlPlane, claimed: ClaimedJob) -> Job:
    return await plane.queue.release(claimed)


@pytest.mark.parametrize("end", [complete, release])
async def test_an_end_that_conflicted_is_measured_by_the_clocks_of_its_last_try(
    plane: ControlPlane,
    store: Store,
    clock: VirtualClock,
    end: Callable[[ControlPlane, ClaimedJob], Awaitable[Job]],
) -> None:
    job = await enqueue(plane)
    claimed = await run(plane)
    clock.advance(5)
    await end(ControlPlane(Slow(store, clock), settings=SETTINGS), claimed)
    last = (await story(plane, job.job_id))[-1]
    # The event names another length of the run, or another stamp, only where the clocks differ.
    assert not {"ran", "stamp"} & set(last.data)
    assert (await plane.queue.stats()).average_run_seconds == 5 + LATE
