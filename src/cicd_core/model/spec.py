"""What a caller asks for when it creates a job: every field is checked at this edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import Factory, evolve, field, frozen

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import (
    check_integer,
    check_kind,
    check_metadata,
    check_name,
    check_names,
    check_number,
    check_optional_label,
    check_seconds,
    check_together,
)
from cicd_core.model.git import GitContext, check_git, git_texts
from cicd_core.model.instants import require_aware
from cicd_core.model.job import Delivery, Priority, RetryPolicy, Verdict
from cicd_core.model.json_values import check_json_object

#: A week, in seconds: the longest that one attempt may run.
MAX_TIMEOUT = 7 * 24 * 3600.0

#: The verdicts that a policy may try again.
_RETRYABLE = frozenset({Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR})


@frozen(kw_only=True)
class JobSpec:
    """A job to be made. The fields mean what they mean on :class:`~cicd_core.model.job.Job`."""

    job_type: str
    payload: Mapping[str, Any] = field(factory=dict[str, Any])
    pool_name: str = "default"
    priority: Priority = Priority.NORMAL
    labels: tuple[str, ...] = ()
    git: GitContext | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(factory=dict[str, str])
    delivery: Delivery = Delivery.AT_LEAST_ONCE
    retry: RetryPolicy = Factory(RetryPolicy)
    timeout_seconds: float = 3600.0
    run_at: datetime | None = None
    deadline_at: datetime | None = None
    #: Seconds from the moment at which the job is made, by the store's clock, in place of
    #: ``run_at``. The same call again asks for the same, so that an idempotency key finds its job.
    delay_seconds: float | None = None
    #: Seconds from that moment, instead of ``deadline_at``.
    deadline_seconds: float | None = None
    #: The same key with the same fields gives the same job, for as long as that job is kept.
    idempotency_key: str | None = None


def checked(spec: JobSpec) -> JobSpec:
    """Return the spec with its names sorted, its instants in UTC, and its payload as JSON has it.

    Raises:
        InvalidInput: a field is wrong; the error names it.
        TooLarge: payload, metadata, git context, tags and labels are over 256 KiB of JSON together.
    """
    check_kind("spec", spec, JobSpec)
    priority, delivery = spec.priority, spec.delivery
    if not isinstance(priority, Priority):
        raise InvalidInput("priority", priority, f"give one of {[each.name for each in Priority]}")
    if not isinstance(delivery, Delivery):
        raise InvalidInput("delivery", delivery, f"give one of {[each.value for each in Delivery]}")
    git, metadata = check_git(spec.git), check_metadata(spec.metadata)
    labels, tags = check_names("labels", spec.labels), check_names("tags", spec.tags)
    payload, size = check_json_object("payload", spec.payload)
    check_together("payload", metadata, git_texts(git), labels, tags, besides=size)
    delay = _distance("delay_seconds", spec.delay_seconds, "run_at", spec.run_at)
    deadline = _distance("deadline_seconds", spec.deadline_seconds, "deadline_at", spec.deadline_at)
    run_at, deadline_at = _checked_times(spec)
    return JobSpec(
        job_type=check_name("job_type", spec.job_type),
        payload=payload,
        pool_name=check_name("pool_name", spec.pool_name),
        priority=priority,
        labels=labels,
        git=git,
        tags=tags,
        metadata=metadata,
        delivery=delivery,
        retry=check_retry(spec.retry),
        timeout_seconds=check_seconds(
            "timeout_seconds", spec.timeout_seconds, least=0.001, most=MAX_TIMEOUT
        ),
        run_at=run_at,
        deadline_at=deadline_at,
        delay_seconds=delay,
        deadline_seconds=deadline,
        idempotency_key=check_optional_label("idempotency_key", spec.idempotency_key),
    )


def check_retry(policy: RetryPolicy) -> RetryPolicy:
    """Return the policy.

    Raises:
        InvalidInput: a field is out of its range; the error names it.
    """
    if not isinstance(policy, RetryPolicy):
        raise InvalidInput("retry", policy, "give a RetryPolicy")
    verdicts: object = policy.retry_on
    if isinstance(verdicts, str) or not isinstance(verdicts, Iterable):
        raise InvalidInput("retry.retry_on", verdicts, "give a list of verdicts")
    given = tuple(policy.retry_on)
    for verdict in given:
        if not isinstance(verdict, str) or verdict not in _RETRYABLE:
            raise InvalidInput("retry.retry_on", verdict, f"give some of {sorted(_RETRYABLE)}")
    return evolve(
        policy,
        max_attempts=check_integer("retry.max_attempts", policy.max_attempts, least=1, most=100),
        # The same set is written, and hashed, the same, whatever the order in which it was given.
        retry_on=tuple(verdict for verdict in Verdict if verdict in given),
        backoff_base=check_seconds("retry.backoff_base", policy.backoff_base),
        backoff_factor=float(
            check_number("retry.backoff_factor", policy.backoff_factor, least=1, most=100)
        ),
        backoff_max=check_seconds("retry.backoff_max", policy.backoff_max, most=MAX_TIMEOUT),
        jitter=float(check_number("retry.jitter", policy.jitter, least=0, most=1)),
    )


def placed(spec: JobSpec, now: datetime) -> JobSpec:
    """Return a checked spec whose times are instants, for a job that is made at ``now``.

    Raises:
        InvalidInput: the deadline comes before the job may start, or is beyond all calendars.
    """
    if spec.delay_seconds is None and spec.deadline_seconds is None:
        return spec
    run_at = _instant("delay_seconds", spec.delay_seconds, now) or spec.run_at
    deadline_at = _instant("deadline_seconds", spec.deadline_seconds, now) or spec.deadline_at
    given = evolve(
        spec, run_at=run_at, deadline_at=deadline_at, delay_seconds=None, deadline_seconds=None
    )
    _checked_times(given)
    return given


def _distance(
    name: str, seconds: float | None, other: str, instant: datetime | None
) -> float | None:
    if seconds is None:
        return None
    if instant is not None:
        raise InvalidInput(name, seconds, f"give {name} or {other}, not both")
    return check_seconds(name, seconds)


def _instant(name: str, seconds: float | None, now: datetime) -> datetime | None:
    try:
        return None if seconds is None else now + timedelta(seconds=seconds)
    except OverflowError:
        raise InvalidInput(name, seconds, "give a shorter time: calendars end in 9999") from None


def _checked_times(spec: JobSpec) -> tuple[datetime | None, datetime | None]:
    """Return ``run_at`` and ``deadline_at`` in UTC; together they must leave time for a start."""
    run_at = require_aware("run_at", spec.run_at)
    deadline_at = require_aware("deadline_at", spec.deadline_at)
    if run_at is not None and deadline_at is not None and deadline_at <= run_at:
        reason = f"give a moment after run_at, {run_at}: the job could never start"
        raise InvalidInput("deadline_at", deadline_at, reason)
    delay, deadline = spec.delay_seconds, spec.deadline_seconds
    if delay is not None and deadline is not None and deadline <= delay:
        reason = f"give more than delay_seconds, {delay:g}: the job could never start"
        raise InvalidInput("deadline_seconds", deadline, reason)
    return run_at, deadline_at
