"""References that name their agent: the lease of another agent is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import ClaimRef, ControlPlane, JobSpec, LeaseLost, NotPermitted, open_store
from cicd_core.entities import COLLECTIONS
from cicd_core.model.job import LeaseToken
from tests.services.metering import Meter
from tests.services.scenes import SETTINGS, claim, enqueue
from tests.services.test_queue_leases import VERBS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cicd_core import ClaimedJob

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.fixture
async def meter() -> AsyncIterator[Meter]:
    async with open_store("memory://", collections=COLLECTIONS) as store:
        yield Meter(store)


@pytest.fixture
def plane(meter: Meter) -> ControlPlane:
    return ControlPlane(meter, settings=SETTINGS)


def shown_by(agent_id: str, claimed: ClaimedJob) -> ClaimRef:
    return ClaimRef(
        job_id=claimed.job.job_id, token=claimed.token, version=claimed.version, agent_id=agent_id
    )


@pytest.mark.parametrize("verb", VERBS)
async def test_the_lease_of_another_agent_is_refused(plane: ControlPlane, verb: str) -> None:
    job = await enqueue(plane)
    held = await claim(plane, "a-1", start=True)
    with pytest.raises(
        NotPermitted, match=r"'a-2' may not do that: the lease token of job .* another"
    ):
        await VERBS[verb](plane, shown_by("a-2", held))
    assert await plane.jobs.get(job.job_id) == held.job
    await VERBS[verb](plane, shown_by("a-1", held))


async def test_of_renewals_with_the_lease_of_another_agent_none_is_made(
    plane: ControlPlane,
) -> None:
    await plane.queue.enqueue_many([JobSpec(job_type="build")] * 2)
    own, foreign = await claim(plane, "a-2"), await claim(plane, "a-1")
    with pytest.raises(NotPermitted):
        await plane.queue.renew([shown_by("a-2", own), shown_by("a-2", foreign)])
    records = await plane.store.get("jobs", [own.job.job_id])
    assert records[own.job.job_id].version == own.version
    (status,) = await plane.queue.renew([shown_by("a-2", own)])
    assert status.held


async def test_the_first_renewal_of_a_claim_reads_its_job_and_no_other_one(
    plane: ControlPlane, meter: Meter
) -> None:
    await enqueue(plane)
    held = shown_by("a-1", await claim(plane, "a-1"))
    rows = []
    for _ in range(3):
        before = meter.rows
        await plane.queue.renew([held])
        rows.append(meter.rows - before)
    assert rows == [1, 0, 0]


async def test_a_token_of_no_claim_is_a_lost_lease_whoever_shows_it(plane: ControlPlane) -> None:
    job = await enqueue(plane)
    odd = ClaimRef(job_id=job.job_id, token=LeaseToken(fence=1, claim_id="0" * 32), agent_id="a-1")
    with pytest.raises(LeaseLost):
        await plane.queue.start(odd)
    (status,) = await plane.queue.renew([odd])
    assert not status.held
