"""The spec of a new job: every field is checked at this edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import field

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
from cicd_core.model.choices import as_names, check_choice, taken_as
from cicd_core.model.git import GitContext, check_git, git_texts
from cicd_core.model.instants import require_aware
from cicd_core.model.job import DEFAULT_RETRY, Delivery, Priority, RetryPolicy, Verdict
from cicd_core.model.json_values import check_json_object
from cicd_core.values import evolve, frozen

#: A week, in seconds: the longest that one attempt may run.
MAX_TIMEOUT = 7 * 24 * 3600.0

#: The verdicts that a policy may retry.
_RETRYABLE = (Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR)


def _priority(value: Priority | str) -> Priority:
    return value if type(value) is Priority else taken_as(value, Priority)


def _delivery(value: Delivery | str) -> Delivery:
    return value if type(value) is Delivery else taken_as(value, Delivery)


@frozen(kw_only=True)
class JobSpec:
    """A job to create. Enums may be given as texts, and any list for a tuple.

    Payload, metadata, git context, tags and labels may take 256 KiB of JSON together, without
    spaces between its parts. A service checks the fields when it gets the spec.
    """

    #: Selects the handler: an agent with a handler for it runs the job. 1 to 128 characters of
    #: ``A-Z a-z 0-9 . _ : / -``, as all names.
    job_type: str
    #: The input of the handler: a JSON object, opaque to the library. ``{}`` by default.
    payload: Mapping[str, Any] = field(factory=dict[str, Any])
    #: The pool whose agents may run it. ``"default"`` by default.
    pool_name: str = "default"
    #: ``critical``, ``high``, ``normal`` (the default) or ``low``, as a member or a text.
    priority: Priority = field(default=Priority.NORMAL, converter=_priority)
    #: An agent must have all these labels to claim it: at most 16 names. None by default.
    labels: tuple[str, ...] = field(default=(), converter=as_names)
    #: The repository, ref and commit of its sources. None by default.
    git: GitContext | None = None
    #: For people and filters: at most 16 names. They do not affect the queue.
    tags: tuple[str, ...] = field(default=(), converter=as_names)
    #: Texts by name, for people and your own programs.
    metadata: Mapping[str, str] = field(factory=dict[str, str])
    #: ``at_least_once`` (the default), or ``at_most_once`` for work that must never start twice.
    delivery: Delivery = field(default=Delivery.AT_LEAST_ONCE, converter=_delivery)
    #: The number of attempts, the verdicts to retry, and the waits in between. The default is 3
    #: attempts, after ``error`` only.
    retry: RetryPolicy = DEFAULT_RETRY
    #: Time limit of an attempt, in seconds: 0.001 to 604,800 (a week), 3,600 by default.
    timeout_seconds: float = 3600.0
    #: The job is not claimed before this time, which has a time zone. None: at once.
    run_at: datetime | None = None
    #: It ends in ``timeout`` if no attempt has started by this time. None: it waits forever.
    deadline_at: datetime | None = None
    #: Seconds after the creation of the job, by the store's clock, instead of ``run_at``. The
    #: same call again has the same value, so an idempotency key finds its job.
    delay_seconds: float | None = None
    #: Seconds after that moment, instead of ``deadline_at``.
    deadline_seconds: float | None = None
    #: The same key with the same fields returns the same job, for as long as it is stored. At
    #: most 256 bytes. None by default.
    idempotency_key: str | None = None


def checked(spec: JobSpec) -> JobSpec:
    """Return the spec with names sorted, times in UTC, and the payload as JSON.

    Raises:
        InvalidInput: a field is wrong; the error names it.
        TooLarge: payload, metadata, git context, tags and labels are over 256 KiB of JSON together.
    """
    check_kind("spec", spec, JobSpec)
    priority = check_choice("priority", spec.priority, Priority)
    delivery = check_choice("delivery", spec.delivery, Delivery)
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
    if policy is DEFAULT_RETRY:
        return policy
    if not isinstance(policy, RetryPolicy):
        raise InvalidInput("retry", policy, "give a RetryPolicy")
    verdicts: object = policy.retry_on
    if isinstance(verdicts, str) or not isinstance(verdicts, Iterable):
        raise InvalidInput("retry.retry_on", verdicts, "give a list of verdicts")
    given = tuple(policy.retry_on)
    for verdict in given:
        check_choice("retry.retry_on", verdict, Verdict, _RETRYABLE)
    return evolve(
        policy,
        max_attempts=check_integer("retry.max_attempts", policy.max_attempts, least=1, most=100),
        # The same set has the same text and hash, in any order.
        retry_on=tuple(verdict for verdict in Verdict if verdict in given),
        backoff_base=check_seconds("retry.backoff_base", policy.backoff_base),
        backoff_factor=float(
            check_number("retry.backoff_factor", policy.backoff_factor, least=1, most=100)
        ),
        backoff_max=check_seconds("retry.backoff_max", policy.backoff_max, most=MAX_TIMEOUT),
        jitter=float(check_number("retry.jitter", policy.jitter, least=0, most=1)),
    )


def placed(spec: JobSpec, now: datetime) -> JobSpec:
    """Return a checked spec with absolute times, for a job created at ``now``.

    Raises:
        InvalidInput: the deadline comes before the job may start, or is beyond the calendar.
    """
    given = with_instants(spec, now)
    _checked_times(given)
    return given


def with_instants(spec: JobSpec, now: datetime) -> JobSpec:
    """Return a checked spec with absolute times, without a check that they leave time for a start.

    Raises:
        InvalidInput: a time is beyond the calendar.
    """
    if spec.delay_seconds is None and spec.deadline_seconds is None:
        return spec
    return evolve(
        spec,
        run_at=_instant("delay_seconds", spec.delay_seconds, now) or spec.run_at,
        deadline_at=_instant("deadline_seconds", spec.deadline_seconds, now) or spec.deadline_at,
        delay_seconds=None,
        deadline_seconds=None,
    )


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
    """Return ``run_at`` and ``deadline_at`` in UTC; they must leave time for a start."""
    run_at = require_aware("run_at", spec.run_at)
    deadline_at = require_aware("deadline_at", spec.deadline_at)
    if run_at is not None and deadline_at is not None and deadline_at <= run_at:
        reason = f"give a moment after run_at, {run_at.isoformat()}: the job could never start"
        raise InvalidInput("deadline_at", deadline_at, reason)
    delay, deadline = spec.delay_seconds, spec.deadline_seconds
    if delay is not None and deadline is not None and deadline <= delay:
        reason = f"give more than delay_seconds, {delay:g}: the job could never start"
        raise InvalidInput("deadline_seconds", deadline, reason)
    return run_at, deadline_at
