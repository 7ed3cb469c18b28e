"""Summaries of records: checks of each one, and the values to compare with the log."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - attrs reads the annotations of its fields
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from cicd_core.audit.report import Promise
from cicd_core.lifecycle.job_steps import FIRST_STEPS
from cicd_core.model.event import Event  # noqa: TC001 - as above
from cicd_core.model.job import FINAL_STATES, JobState
from cicd_core.persistence.collections import JOBS
from cicd_core.persistence.event_bodies import decode_event
from cicd_core.store.records import LogEntry
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.audit.report import Findings
    from cicd_core.model.job import Job
    from cicd_core.persistence.grants import Loaded
    from cicd_core.store.records import Collection, Record


_HELD: Final = frozenset({JobState.CLAIMED, JobState.RUNNING})


@frozen(kw_only=True)
class Known:
    """The values of a record that the log must have too."""

    version: int
    created_at: datetime
    #: None for an entity without states.
    state: str | None = None
    #: The events that a live claim has not written yet.
    pending: tuple[Event, ...] = ()
    #: The rest is only for jobs.
    fence: int = 0
    pool_name: str | None = None
    #: Of a tracked run: recorded values that its events do not have.
    tracked: bool = False
    started_at: datetime | None = None
    completed_at: datetime | None = None


def known_job(loaded: Loaded[Job]) -> Known:
    """Return the values that the log must have for a job."""
    job = loaded.value
    pending = tuple(
        decode_event(
            LogEntry(
                collection=write.collection,
                key=write.key,
                version=write.version or loaded.version,
                ordinal=write.ordinal,
                body=write.body,
            )
        )
        for write in loaded.pending_events
    )
    return Known(
        version=loaded.version,
        created_at=job.created_at,
        state=job.state.value,
        pending=pending,
        fence=job.fence,
        pool_name=job.pool_name,
        tracked=job.tracked,
        started_at=job.started_at,
        completed_at=job.completed_at,
    )


def check_job(record: Record, loaded: Loaded[Job], findings: Findings) -> None:
    """Check the record of a job by itself."""
    _check_lease(record, loaded.value, findings)
    _check_verdict(loaded.value, findings)
    _check_attempts(loaded.value, findings)
    _check_history(loaded.value, findings)


def check_indexes(
    record: Record, collection: Collection, expected: Mapping[str, str], findings: Findings
) -> None:
    """Check that a record is in the partitions of its state, and in no other."""
    findings.examine(Promise.INDEXES)
    for index in collection.indexes:
        found, wanted = record.attributes.get(index.partition), expected.get(index.partition)
        findings.require(
            Promise.INDEXES,
            found == wanted,
            f"{collection.name} {record.key}: {index.name} lists it under {found!r}, "
            f"but its state belongs under {wanted!r}",
        )


def _check_lease(record: Record, job: Job, findings: Findings) -> None:
    findings.examine(Promise.LEASES)
    held, lease = job.state in _HELD and not job.tracked, record.lease
    who = f"job {job.job_id}"
    if lease is None:
        findings.require(
            Promise.LEASES, not held, f"{who} is {job.state.value}, but no agent has a lease on it"
        )
        findings.require(Promise.LEASES, record.grant is None, f"{who} has a grant but no lease")
        return
    findings.require(
        Promise.LEASES, held, f"{who} is {job.state.value}, but {lease.claim_id} has a lease on it"
    )
    findings.require(
        Promise.LEASES,
        job.agent_id is not None and job.claim_id == lease.claim_id,
        f"{who}: its lease is of claim {lease.claim_id}, agent {job.agent_id!r} holds it by "
        f"{job.claim_id}",
    )
    findings.require(
        Promise.LEASES,
        lease.granted <= lease.expires <= lease.limit and lease.granted <= lease.renewed,
        f"{who}: its lease was granted at {lease.granted}, renewed at {lease.renewed}, ends at "
        f"{lease.expires}, "
        f"and at {lease.limit} at the latest",
    )


def _check_verdict(job: Job, findings: Findings) -> None:
    findings.examine(Promise.VERDICTS)
    if job.state not in FINAL_STATES:
        return
    verdict = None if job.verdict is None else job.verdict.value
    findings.require(
        Promise.VERDICTS,
        verdict == job.state.value and job.completed_at is not None,
        f"job {job.job_id} is {job.state.value}, its verdict is {verdict}, "
        f"completed at {job.completed_at}",
    )


def _check_attempts(job: Job, findings: Findings) -> None:
    fences = [attempt.fence for attempt in job.attempts]
    who = f"job {job.job_id}"
    findings.require(
        Promise.FENCES,
        all(one < other for one, other in pairwise(fences)),
        f"{who}: the fences of its attempts do not grow: {fences}",
    )
    if job.attempts:
        last = job.attempts[-1]
        findings.require(
            Promise.FENCES,
            last.token == job.token,
            f"{who}: its fence is {job.fence}, that of its last attempt {last.fence}",
        )
    still_open = [attempt.number for attempt in job.attempts if attempt.ended_at is None]
    held = job.state in _HELD and not job.tracked
    wanted = [job.attempts[-1].number] if held and job.attempts else []
    findings.require(
        Promise.LEASES,
        still_open == wanted,
        f"{who} is {job.state.value}, its attempts {still_open} have not ended",
    )


def _check_history(job: Job, findings: Findings) -> None:
    steps = job.history
    pairs = list(pairwise(steps))
    if job.history_left_out:  # there is a gap after the first ones
        del pairs[FIRST_STEPS - 1 : FIRST_STEPS]
    joined = all(one.target is other.source for one, other in pairs)
    findings.require(
        Promise.PATHS,
        joined and (not steps or steps[-1].target is job.state),
        f"{JOBS.name} {job.job_id}: its history does not lead to {job.state.value}: "
        f"{' '.join(step.target.value for step in steps)}",
    )
