"""Whether a lost holder's job ran too long depends on its last sign of life alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_core import ControlPlane, JobSpec, JobState, Settings, Verdict, open_store
from cicd_core.entities import COLLECTIONS
from cicd_core.testing import VirtualClock

if TYPE_CHECKING:
    from cicd_core import Job

JUST = 0.000_001
DEFAULTS = Settings()


async def lost(
    *, lease: float, limit: float, grace: float, death: float, start: bool
) -> tuple[Job, float, float]:
    """Let a holder renew as agents do and die ``death`` seconds after its start.

    Returns:
        The job when it was taken away, the last sign of life, and when that was, both in seconds
        after the start.
    """
    clock = VirtualClock()
    async with open_store("memory://", clock=clock, collections=COLLECTIONS) as store:
        plane = ControlPlane(store, settings=Settings(grace_seconds=grace))
        job = await plane.queue.enqueue(JobSpec(job_type="build", timeout_seconds=limit))
        (held,) = await plane.queue.claim(agent_id="a-1", lease_seconds=lease, start=start)
        if not start:
            clock.advance(0.5)
            held = await plane.queue.start(held)
        began = clock.micros()
        left, at = held.seconds_left, 0.0
        while True:
            following = at + min(left, lease) / 3
            if at < limit < following:  # agents say once that their time is up
                following = limit
            if following > death or following - at < 0.1:
                break
            clock.advance(following - at)
            (status,) = await plane.queue.renew([held])
            assert status.held
            # As the clock has it, in whole microseconds: the sum of floats may be a bit off.
            left, at = status.seconds_left or 0.0, (clock.micros() - began) / 1_000_000
        clock.advance(left)
        assert (await plane.maintenance.sweep()).total == 0
        clock.advance(JUST)
        assert (await plane.maintenance.sweep()).total == 1
        taken_at = (clock.micros() - began) / 1_000_000
        return await plane.jobs.get(job.job_id), at, taken_at


@given(
    lease=st.sampled_from([1.0, 5.0, 29.0, 30.0, 31.0, 60.0, 300.0, 3600.0]),
    timeout=st.sampled_from([1.0, 5.0, 20.0, 60.0, 600.0]),
    grace=st.sampled_from([0.0, 1.0, 5.0, 30.0, 120.0]),
    part=st.floats(0.0, 1.0),
    start=st.booleans(),
)
@example(lease=60.0, timeout=600.0, grace=30.0, part=590 / 630, start=True)
@example(lease=300.0, timeout=5.0, grace=30.0, part=0.0, start=False)
@example(lease=300.0, timeout=60.0, grace=30.0, part=0.9, start=True)
@example(lease=5.0, timeout=60.0, grace=5.0, part=1.0, start=False)
def test_the_verdict_follows_the_last_sign_of_life_whatever_the_lease_is(
    lease: float, timeout: float, grace: float, part: float, start: bool
) -> None:
    death = part * (timeout + grace)

    async def check() -> None:
        job, last_sign, taken_at = await lost(
            lease=lease, limit=timeout, grace=grace, death=death, start=start
        )
        if last_sign >= timeout:
            assert (job.state, job.verdict) == (JobState.TIMEOUT, Verdict.TIMEOUT)
        else:
            assert (job.state, job.verdict) == (JobState.QUEUED, Verdict.ERROR)
        assert taken_at <= timeout + grace + 2 * JUST

    anyio.run(check)


@given(
    lease=st.sampled_from([5.0, 60.0, 300.0, 3600.0]),
    timeout=st.sampled_from([5.0, 60.0, 600.0]),
    part=st.floats(0.0, 1.0),
)
def test_the_verdict_is_the_same_as_with_the_default_lease(
    lease: float, timeout: float, part: float
) -> None:
    # Right at its timeout a holder gives a sign of life; between two signs none can tell it apart.
    death = part * (timeout + DEFAULTS.grace_seconds)

    async def verdict(length: float) -> JobState:
        job, _, _ = await lost(
            lease=length,
            limit=timeout,
            grace=DEFAULTS.grace_seconds,
            death=death,
            start=True,
        )
        return job.state

    async def check() -> None:
        assert await verdict(lease) is await verdict(DEFAULTS.lease_seconds)

    anyio.run(check)
