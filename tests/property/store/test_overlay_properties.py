"""A claimed record is the queued body and the grant: together they are the domain's own claim."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.entities import COLLECTIONS
from cicd_core.errors import CorruptRecord
from cicd_core.lifecycle import jobs, leases
from cicd_core.model.instants import sort_key, to_micros
from cicd_core.model.job import Delivery, Job, Priority, RetryPolicy
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec, checked
from cicd_core.persistence.codec import JOB
from cicd_core.persistence.collections import JOBS, READY, job_attributes
from cicd_core.persistence.event_bodies import decode_event
from cicd_core.persistence.grants import Grant, load_job
from cicd_core.persistence.json_bytes import dump_json
from cicd_core.queueing.lanes import lane_of
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Claim, Commit, Lease, LogEntry, Put, Record
from cicd_core.testing import VirtualClock
from tests.property.store.entities import JSON

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
CLAIM_ID = "1" * 32
NAMES = st.text("abcxyz.-", min_size=1, max_size=5).filter(lambda name: name not in {".", ".."})
GRANTS = st.builds(Grant, agent_id=NAMES, start=st.booleans())


@st.composite
def ready_jobs(draw: st.DrawFn) -> Job:
    """A job that can be claimed, after any number of attempts that ended in any way."""
    spec = JobSpec(
        job_type=draw(NAMES),
        pool_name=draw(NAMES),
        labels=tuple(draw(st.lists(NAMES, max_size=3))),
        priority=draw(st.sampled_from(Priority)),
        delivery=draw(st.sampled_from(Delivery)),
        retry=RetryPolicy(max_attempts=draw(st.integers(4, 9))),
        deadline_at=draw(st.none() | st.just(NOON + timedelta(days=9))),
        payload=draw(st.dictionaries(st.text(max_size=5), JSON, max_size=2)),
    )
    now = NOON
    job = jobs.create(checked(spec), job_id="j-1", now=now, actor="ann").value
    job = jobs.submit(job, now=now, actor="ann").value
    for end in draw(st.lists(st.sampled_from(["release", "error", "lose"]), max_size=3)):
        now += timedelta(seconds=draw(st.integers(0, 1000)))
        held = leases.claim(job, agent_id="a-0", claim_id="0" * 32, now=now).value
        token = held.token
        assert token is not None
        if end == "release":
            job = leases.release(held, token, now=now, reason="drained").value
        elif end == "error":
            job = leases.complete(held, token, Outcome.error("no disk"), now=now).value
        else:
            job = leases.expire_lease(held, now=now).value
        assert job.run_at is not None
        now = max(now, job.run_at)
        job = jobs.promote(job, now=now).value
    return job


async def claim_from_a_store(job: Job, grant: Grant, seconds: float) -> tuple[Record, Record]:
    """Put the job into a store, claim it there a while later, and return both its records."""
    clock = VirtualClock(to_micros(NOON + timedelta(days=1)))
    store = MemoryBackend(COLLECTIONS, clock=clock)
    put = Put(
        collection=JOBS.name,
        key=job.job_id,
        expected=0,
        body=JOB.encode(job, {"from_the_future": [1]}),
        attributes=job_attributes(job, None),
    )
    await store.commit([Commit(commit_id="c-1", writes=(put,))])
    before = (await store.get(JOBS.name, [job.job_id]))[job.job_id]
    clock.advance(seconds)
    claim = Claim(
        claim_id=CLAIM_ID,
        collection=JOBS.name,
        index=READY,
        partitions=(lane_of(job).key,),
        limit=1,
        grant=grant.encode(),
        duration=30_000_000,
        patch=grant.patch(job.pool_name),
    )
    (claimed,) = await store.claim(claim)
    return before, claimed


@given(ready_jobs(), GRANTS, st.floats(0, 1e6))
def test_a_claimed_record_reads_as_the_domains_own_claim(
    job: Job, grant: Grant, seconds: float
) -> None:
    before, record = anyio.run(claim_from_a_store, job, grant, seconds)
    assert record.lease is not None
    granted = NOON + timedelta(microseconds=record.lease.granted - to_micros(NOON))
    expected = leases.claim(
        load_job(before).value,
        agent_id=grant.agent_id,
        claim_id=CLAIM_ID,
        now=granted,
        start=grant.start,
    )
    loaded = load_job(record)
    assert loaded.value == expected.value
    assert loaded.pending_increments == expected.increments
    assert [told(each) for each in loaded.pending_events] == [
        (draft.type, draft.at, json.loads(dump_json(draft.data))) for draft in expected.events
    ]
    assert (loaded.version, loaded.lease) == (before.version + 1, record.lease)
    assert loaded.unknown == {"from_the_future": [1]}


@given(ready_jobs(), GRANTS, st.floats(0, 1e6))
def test_a_claims_patch_says_what_the_claimed_jobs_own_attributes_say(
    job: Job, grant: Grant, seconds: float
) -> None:
    _, record = anyio.run(claim_from_a_store, job, grant, seconds)
    assert record.lease is not None
    attributes = dict(record.attributes)
    # A claim leaves sort attributes; without its lane, nobody reads this one.
    del attributes["rank"]
    assert attributes == job_attributes(load_job(record).value, record.lease)
    assert attributes["due"] == sort_key(record.lease.expires, job.job_id)


def told(event: Any) -> tuple[str, datetime, Any]:
    entry = LogEntry(
        collection=event.collection,
        key=event.key,
        version=event.version,
        ordinal=event.ordinal,
        body=event.body,
    )
    decoded = decode_event(entry)
    return decoded.type, decoded.at, decoded.data


JOB_BODY = JOB.encode(
    jobs.submit(
        jobs.create(checked(JobSpec(job_type="b")), job_id="j-1", now=NOON, actor="ann").value,
        now=NOON,
        actor="ann",
    ).value
)
RECORD = Record(
    key="j-1",
    version=7,
    commit_id="c-1",
    body=JOB_BODY,
    grant=Grant(agent_id="a-1", start=False).encode(),
    lease=Lease(
        claim_id=CLAIM_ID, granted=to_micros(NOON), renewed=to_micros(NOON), expires=2, limit=3
    ),
)


def test_the_claims_own_events_are_told_under_the_claims_own_version() -> None:
    start = evolve(RECORD, grant=Grant(agent_id="a-1", start=True).encode())
    events: Sequence[Any] = load_job(start).pending_events
    assert [(each.collection, each.key, each.version, each.ordinal) for each in events] == [
        ("jobs", "j-1", 7, 0),
        ("jobs", "j-1", 7, 1),
    ]
    assert [told(each)[0] for each in events] == ["job.claimed", "job.started"]


def test_a_record_without_a_grant_owes_nothing() -> None:
    for record in (evolve(RECORD, grant=None), evolve(RECORD, lease=None)):
        loaded = load_job(record)
        assert loaded.value == JOB.decode("j-1", JOB_BODY).value
        assert (loaded.pending_events, loaded.pending_increments) == ((), ())


@given(st.binary(max_size=30) | JSON.map(dump_json))
def test_a_grant_that_does_not_decode_is_corrupt(grant: bytes) -> None:
    with pytest.raises(CorruptRecord, match="its grant") as refused:
        load_job(evolve(RECORD, grant=grant))
    assert refused.value.key == "j-1"


@given(JSON, JSON)
def test_a_grant_of_other_things_is_taken_or_corrupt_and_nothing_else(
    agent_id: Any, start: Any
) -> None:
    with suppress(CorruptRecord):
        load_job(evolve(RECORD, grant=dump_json({"agent_id": agent_id, "start": start})))


def test_a_grant_over_a_job_that_was_not_in_the_queue_is_corrupt() -> None:
    claimed = load_job(RECORD).value
    with pytest.raises(CorruptRecord, match="its grant: job 'j-1' is claimed"):
        load_job(evolve(RECORD, body=JOB.encode(claimed)))
