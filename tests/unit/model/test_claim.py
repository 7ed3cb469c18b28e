"""What a claim gives, and what a renewal answers."""

from __future__ import annotations

from datetime import UTC, datetime
from inspect import signature

from attrs import evolve

from cicd_core.control_plane.queue import QueueService
from cicd_core.model.claim import ClaimedJob, ClaimRequest, LeaseStatus
from cicd_core.model.job import Job, JobState, LeaseToken

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CLAIMED = ClaimedJob(
    job=Job(job_id="j-1", job_type="build", state=JobState.CLAIMED, created_at=NOON),
    token=LeaseToken(fence=7, claim_id="c" * 32),
    version=3,
    lease_seconds=30.0,
    expires_at=NOON,
    basis="what the source knows",
)


def test_what_the_source_knows_besides_is_its_own_business() -> None:
    assert "what the source knows" not in repr(CLAIMED)
    assert evolve(CLAIMED, basis=None) == CLAIMED


def test_a_lease_that_is_held_asks_for_nothing_by_default() -> None:
    assert not LeaseStatus(held=True).cancel_requested
    assert LeaseStatus(held=False).expires_at is None


def test_a_claim_request_names_all_arguments_of_a_claim_but_the_wait() -> None:
    arguments = ClaimRequest(agent_id="a-1", labels=("linux",), limit=4).arguments()
    assert arguments.keys() | {"wait"} == signature(QueueService.claim).parameters.keys() - {"self"}
    assert arguments["labels"] == ("linux",)
    assert arguments["limit"] == 4
