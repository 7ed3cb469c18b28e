"""When each lease is renewed: in good time, and once when the job's own time is over."""

from __future__ import annotations

import pytest

from cicd_core.agent.active_job import ActiveJob
from cicd_core.agent.lease_table import LeaseTable
from cicd_core.model.claim import LeaseStatus
from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio


async def holding(lease_seconds: float) -> ActiveJob:
    source = FakeSource(lease_seconds=lease_seconds)
    source.add()
    (claimed,) = await source.claim(agent_id="a-1", request_id="r-1")
    return ActiveJob(claimed, lambda _: True)


async def test_a_long_lease_is_renewed_when_the_time_of_its_job_is_over() -> None:
    book, held = LeaseTable(), await holding(300.0)
    book.hold(held, sent_at=0.0, seconds_left=90.0, timeout_at=20.0, at_limit=True)
    assert book.renewal_at() == 20.0
    status = LeaseStatus(held=True, seconds_left=70.0, at_limit=True)
    book.renewed([held], [status], 20.0)
    assert book.renewal_at() == 120.0


async def test_a_lease_that_reaches_its_limit_early_is_renewed_at_the_jobs_timeout() -> None:
    book, held = LeaseTable(), await holding(300.0)
    book.hold(held, sent_at=0.0, seconds_left=300.0, timeout_at=150.0)
    assert book.renewal_at() == pytest.approx(100.0)
    status = LeaseStatus(held=True, seconds_left=80.0, at_limit=True)
    book.renewed([held], [status], 100.0)
    assert book.renewal_at() == 150.0


async def test_a_timeout_that_is_far_away_changes_nothing() -> None:
    book, held = LeaseTable(), await holding(30.0)
    book.hold(held, sent_at=0.0, seconds_left=30.0, timeout_at=600.0)
    assert book.renewal_at() == pytest.approx(10.0)
