"""What a caller asks for when it creates a job: every field is checked at this edge."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping  # noqa: TC003 - the codec resolves annotations
from datetime import datetime  # noqa: TC003 - the codec resolves annotations
from typing import Any

from attrs import Factory, field, frozen

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.checks import (
    MAX_BODY_BYTES,
    check_integer,
    check_name,
    check_names,
    check_seconds,
    check_text,
)
from cicd_core.model.instants import require_aware
from cicd_core.model.job import Delivery, GitContext, Priority, RetryPolicy, Verdict

#: A week, in seconds: the longest that one attempt may run.
MAX_TIMEOUT = 7 * 24 * 3600.0


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
    #: The same key with the same fields gives the same job, for as long as that job is kept.
    idempotency_key: str | None = None


def checked(spec: JobSpec) -> JobSpec:
    """Return the spec with its names sorted and its instants in UTC.

    Raises:
        InvalidInput: a field is wrong; the error names it.
        TooLarge: the payload and the texts are over 256 KiB together.
    """
    check_retry(spec.retry)
    priority, delivery = spec.priority, spec.delivery
    if not isinstance(priority, Priority):
        raise InvalidInput("priority", priority, f"give one of {[each.name for each in Priority]}")
    if not isinstance(delivery, Delivery):
        raise InvalidInput("delivery", delivery, f"give one of {[each.value for each in Delivery]}")
    if spec.idempotency_key is not None:
        check_text("idempotency_key", spec.idempotency_key, most=256)
    for name, value in spec.metadata.items():
        check_text(f"metadata[{name!r}]", value)
        check_text("metadata", name, most=128)
    _check_git(spec.git)
    _check_size(spec)
    return JobSpec(
        job_type=check_name("job_type", spec.job_type),
        payload=spec.payload,
        pool_name=check_name("pool_name", spec.pool_name),
        priority=priority,
        labels=check_names("labels", spec.labels),
        git=spec.git,
        tags=check_names("tags", spec.tags),
        metadata=spec.metadata,
        delivery=delivery,
        retry=spec.retry,
        timeout_seconds=check_seconds(
            "timeout_seconds", spec.timeout_seconds, least=0.001, most=MAX_TIMEOUT
        ),
        run_at=require_aware("run_at", spec.run_at),
        deadline_at=require_aware("deadline_at", spec.deadline_at),
        idempotency_key=spec.idempotency_key,
    )


def check_retry(policy: RetryPolicy) -> RetryPolicy:
    """Return the policy.

    Raises:
        InvalidInput: a field is out of its range; the error names it.
    """
    check_integer("retry.max_attempts", policy.max_attempts, least=1, most=100)
    check_seconds("retry.backoff_base", policy.backoff_base)
    check_seconds("retry.backoff_max", policy.backoff_max, most=MAX_TIMEOUT)
    if not 1 <= policy.backoff_factor <= 100:  # noqa: PLR2004 - stated in the message
        raise InvalidInput("retry.backoff_factor", policy.backoff_factor, "give 1 to 100")
    if not 0 <= policy.jitter <= 1:
        raise InvalidInput("retry.jitter", policy.jitter, "give 0 to 1")
    retryable = {Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR}
    for verdict in policy.retry_on:
        if verdict not in retryable:
            raise InvalidInput("retry.retry_on", verdict, f"give some of {sorted(retryable)}")
    return policy


def _check_git(git: GitContext | None) -> None:
    if git is None:
        return
    check_text("git.repo", git.repo)
    for name in ("ref", "commit_sha", "commit_message", "author"):
        value = getattr(git, name)
        if value is not None:
            check_text(f"git.{name}", value, most=8192)


def _check_size(spec: JobSpec) -> None:
    """Refuse what is over the limit, or is no JSON, before anything is written."""
    try:
        size = len(json.dumps(spec.payload, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as refused:  # lone surrogates are a ValueError
        raise InvalidInput("payload", spec.payload, f"give plain JSON: {refused}") from refused
    if not isinstance(spec.payload, dict) or not all(isinstance(key, str) for key in spec.payload):
        raise InvalidInput("payload", spec.payload, "give a JSON object with string keys")
    texts = sum(len(name) + 4 * len(value) for name, value in spec.metadata.items())
    if size + texts > MAX_BODY_BYTES:
        raise TooLarge("payload", math.ceil(size + texts), MAX_BODY_BYTES)
