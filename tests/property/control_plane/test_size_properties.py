"""Whatever was put into a job, and whatever is said of it: there is always room for its end."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import pytest
from attrs import evolve, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_core.entities import COLLECTIONS
from cicd_core.errors import IllegalTransition, LeaseLost
from cicd_core.ids import IdSource
from cicd_core.lifecycle import deployments, jobs, leases
from cicd_core.lifecycle.decision import Decision
from cicd_core.model import deployment as deployment_model
from cicd_core.model.checks import MAX_BODY_BYTES, MAX_LABEL, MAX_SECONDS, json_bytes, json_size
from cicd_core.model.deployment import DeploymentSpec
from cicd_core.model.git import GitContext, ObjectFilter, Submodules, git_texts
from cicd_core.model.instants import to_micros
from cicd_core.model.job import (
    Delivery,
    Job,
    LeaseToken,
    Progress,
    RetryPolicy,
    Verdict,
)
from cicd_core.model.outcome import MAX_URL, Outcome
from cicd_core.model.spec import JobSpec, checked
from cicd_core.persistence import mappings
from cicd_core.persistence.codec import JOB
from cicd_core.persistence.context import Context
from cicd_core.persistence.deflating import inflated
from cicd_core.persistence.event_bodies import encode_event
from cicd_core.persistence.grants import Loaded
from cicd_core.persistence.repository import Repository
from cicd_core.settings import Settings
from cicd_core.store.limits import Limits
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import MAX_RECORD_BYTES, Commit, EventWrite, Put, StoreTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.model.deployment import Deployment

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
#: The same moment on both clocks of a store.
AT = StoreTime(to_micros(NOON))
#: What takes more bytes than it has characters, and what does not.
LETTERS = ("\x1b", "\N{ROCKET}", "雨", "ü", '"', "\\", "\n", "x", "\x1b[31m雨\n")
NAME, CLAIM_ID = "n" * 128, "f" * 32
#: A duration within its bound that takes nearly as many digits as any.
LONGEST = math.nextafter(MAX_SECONDS, 0.0)
STRANGER = LeaseToken(fence=1, claim_id="0" * 32)
EVERYTHING = (Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR)
LIMITS = Limits(COLLECTIONS)
CONTEXT = Context(MemoryBackend(COLLECTIONS), IdSource(), Settings())
JOBS = Repository(mappings.JOB, CONTEXT)
DEPLOYMENTS = Repository(mappings.DEPLOYMENT, CONTEXT)


def filled(letter: str, most: int) -> str:
    """Return the longest text of that letter that takes at most so many bytes of JSON."""
    return letter * (most // json_bytes(letter))


def git_of(letter: str) -> GitContext:
    return GitContext(
        repo="/" + "r" * 1000,
        ref="r" * 1000,
        commit_sha="f" * 64,
        commit_message=letter * (2000 // len(letter)),
        author=letter * (2000 // len(letter)),
        depth=999_999,
        filter=ObjectFilter.BLOBS,
        sparse_paths=tuple(f"{number:0100d}" for number in range(200)),
        submodules=Submodules.RECURSIVE,
        lfs=True,
    )


def metadata_of(letter: str, entries: int) -> dict[str, str]:
    return {f"{number:0128d}": letter * (1000 // len(letter)) for number in range(entries)}


def largest_job(letter: str, delivery: Delivery) -> JobSpec:
    """Return a spec that nearly no byte can be added to."""
    spec = JobSpec(
        job_type=NAME,
        pool_name=NAME,
        labels=tuple(f"{number:036d}" for number in range(16)),
        tags=tuple(f"{number:0128d}" for number in range(16)),
        git=git_of(letter),
        metadata=metadata_of(letter, 16),
        delivery=delivery,
        idempotency_key=filled(letter, MAX_LABEL),
        retry=RetryPolicy(max_attempts=100, retry_on=EVERYTHING, backoff_base=LONGEST),
        timeout_seconds=604799.9999999999,
    )
    parts = (spec.labels, spec.tags, git_texts(spec.git), spec.metadata, {"p": ""})
    room = MAX_BODY_BYTES - sum(map(json_size, parts))
    return checked(evolve(spec, payload={"p": filled(letter, room)}))


@frozen
class Speech:
    """What is said at each step: as much as a caller can."""

    letter: str
    length: int

    @property
    def actor(self) -> str:
        return filled(self.letter, MAX_LABEL)

    @property
    def text(self) -> str:
        return self.letter * self.length

    def outcome(self, verdict: Verdict) -> Outcome:
        return Outcome(
            verdict=verdict,
            exit_code=-(2**31) if verdict is Verdict.FAILED else None,
            error_message=self.text,
            logs_url=filled(self.letter, MAX_URL),
            logs_summary=self.text,
        )


Step: TypeAlias = "Callable[[Speech, Job, datetime], Decision[Job]]"


def token_of(job: Job) -> LeaseToken:
    return job.token or STRANGER


def claim(_: Speech, job: Job, now: datetime, *, start: bool) -> Decision[Job]:
    return leases.claim(job, agent_id=NAME, claim_id=CLAIM_ID, now=now, start=start)


def end(said: Speech, job: Job, now: datetime, *, verdict: Verdict) -> Decision[Job]:
    return leases.complete(job, token_of(job), said.outcome(verdict), now=now)


def tell(said: Speech, job: Job, now: datetime) -> Decision[Job]:
    told = Progress(at=now, percent=33.333333333333336, message=said.text)
    return leases.report_progress(job, token_of(job), told, now=now)


STEPS: dict[str, Step] = {
    "claim": partial(claim, start=False),
    "claim and start": partial(claim, start=True),
    "start": lambda _, job, now: leases.start(job, token_of(job), now=now),
    "progress": tell,
    "give back": lambda said, job, now: leases.release(
        job, token_of(job), now=now, reason=said.text or "-"
    ),
    "lose": lambda _, job, now: leases.expire_lease(job, now=now),
    "hang": lambda _, job, now: leases.expire_lease(job, now=now, limit_reached=True),
    "replay": lambda said, job, now: jobs.replay(job, now=now, actor=said.actor, attempts=100),
    "cancel": lambda said, job, now: jobs.cancel(job, now=now, actor=said.actor, reason=said.text),
    **{f"end in {verdict}": partial(end, verdict=verdict) for verdict in Verdict},
}


def taken(before: Loaded[Job] | None, decision: Decision[Job]) -> Loaded[Job]:
    """Return the job behind a commit of the decision, which every store must take."""
    commit = JOBS.commit_of(before, decision, time=AT)
    LIMITS.check_commit(inflated_commit(commit))
    return Loaded(value=decision.value, version=1, lease=None)


def inflated_commit(commit: Commit) -> Commit:
    """Return the commit as it is where no body can be deflated."""
    (put,) = commit.writes
    assert isinstance(put, Put)
    return evolve(commit, writes=(evolve(put, body=inflated(put.body)),))


def granted(before: Loaded[Job], decision: Decision[Job]) -> Loaded[Job]:
    """Return the job with a claim over it, whose events the next commit puts down."""
    pending = tuple(
        EventWrite(collection="jobs", key=NAME, version=1, ordinal=number, body=encode_event(draft))
        for number, draft in enumerate(decision.events)
    )
    return evolve(
        before,
        value=decision.value,
        pending_events=pending,
        pending_increments=decision.increments,
    )


def lived(said: Speech, spec: JobSpec, steps: list[str]) -> Job:
    """Return a job after those of the steps that are legal; each of its commits is taken."""
    made = jobs.create(spec, job_id=NAME, now=NOON, actor=said.actor, request_hash=CLAIM_ID)
    queued = jobs.submit(made.value, now=NOON, actor=said.actor)
    job = taken(None, Decision(queued.value, made.events + queued.events))
    for number, name in enumerate(steps, 1):
        try:
            decision = STEPS[name](said, job.value, NOON + timedelta(seconds=number))
        except (IllegalTransition, LeaseLost):
            continue
        job = (granted if name.startswith("claim") else taken)(job, decision)
    return job.value


@pytest.mark.thorough
@given(
    said=st.builds(Speech, st.sampled_from(LETTERS), st.sampled_from([0, 1, 600, 5_000, 20_000])),
    delivery=st.sampled_from(Delivery),
    steps=st.lists(st.sampled_from(sorted(STEPS)), max_size=40),
    rounds=st.integers(1, 30),
)
@example(
    said=Speech("\x1b", 20_000),
    delivery=Delivery.AT_LEAST_ONCE,
    steps=["claim", "start", "progress", "give back", "claim", "start", "end in error", "replay"],
    rounds=200,
)
@example(
    said=Speech("\N{ROCKET}", 20_000),
    delivery=Delivery.AT_LEAST_ONCE,
    steps=["claim and start", "progress", "end in failed", "claim", "lose"],
    rounds=100,
)
def test_each_commit_of_the_largest_job_is_within_the_limits_of_every_store(
    said: Speech, delivery: Delivery, steps: list[str], rounds: int
) -> None:
    job = lived(said, largest_job(said.letter, delivery), steps * rounds)
    assert len(inflated(JOB.encode(job))) <= MAX_RECORD_BYTES


@pytest.mark.thorough
@pytest.mark.parametrize("letter", LETTERS)
def test_a_record_has_room_for_the_longest_life_of_the_largest_job(letter: str) -> None:
    said, spec = Speech(letter, 20_000), largest_job(letter, Delivery.AT_LEAST_ONCE)
    again = ["claim", "start", "progress", "end in failed"]
    job = lived(said, spec, again * 40)
    assert (len(job.history), len(job.attempts)) == (40, 25)
    assert job.history_left_out > 0
    size = len(inflated(JOB.encode(job)))
    # Not only within the limit: what a store keeps beside the body has its room too.
    assert MAX_BODY_BYTES < size < MAX_RECORD_BYTES - 16 * 1024


@pytest.mark.parametrize("letter", LETTERS)
def test_each_commit_of_the_largest_deployment_is_within_the_limits(letter: str) -> None:
    said = Speech(letter, 20_000)
    spec = DeploymentSpec(
        service_name=NAME,
        version=filled(letter, MAX_LABEL),
        environment=NAME,
        git=git_of(letter),
        build_job_id=NAME,
        test_job_id=NAME,
        deploy_job_id=NAME,
    )
    entry = json_size(metadata_of(letter, 1))
    room = MAX_BODY_BYTES - json_size(git_texts(spec.git))
    wanted = deployment_model.checked(evolve(spec, metadata=metadata_of(letter, room // entry)))
    steps: list[Callable[[Deployment], Decision[Deployment]]] = [
        lambda each: deployments.begin_staging(
            each, now=NOON, actor=said.actor, staging_job_id=NAME
        ),
        lambda each: deployments.record_staging(each, succeeded=True, now=NOON, actor=said.actor),
        lambda each: deployments.begin_production(
            each, now=NOON, actor=said.actor, production_job_id=NAME
        ),
        lambda each: deployments.fail(each, now=NOON, actor=said.actor, error_message=said.text),
        lambda each: deployments.roll_back(each, now=NOON, actor=said.actor, reason=said.text),
    ]
    decision = deployments.create(wanted, deployment_id=NAME, now=NOON, actor=said.actor)
    LIMITS.check_commit(inflated_commit(DEPLOYMENTS.commit_of(None, decision, time=AT)))
    for step in steps:
        before = Loaded(value=decision.value, version=1, lease=None)
        decision = step(before.value)
        LIMITS.check_commit(inflated_commit(DEPLOYMENTS.commit_of(before, decision, time=AT)))
