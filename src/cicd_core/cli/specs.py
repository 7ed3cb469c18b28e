"""Specs of jobs from what was typed, and from a file with a JSON object a line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from attrs import evolve, fields, frozen

from cicd_core.cli.inputs import (
    choose,
    choose_some,
    git_context,
    is_duration,
    json_object,
    json_option,
    moment,
    pairs,
    read_text,
    seconds,
)
from cicd_core.errors import InvalidInput
from cicd_core.model.job import Delivery, Priority, RetryPolicy, Verdict
from cicd_core.model.spec import JobSpec, checked

if TYPE_CHECKING:
    from cattrs import Converter

    from cicd_core.model.git import GitContext


@frozen(kw_only=True)
class JobOptions:
    """The options of ``enqueue``, as they were typed; the defaults are those of the options."""

    job_type: str | None = None
    argv: tuple[str, ...] = ()
    payload: str | None = None
    shell: str | None = None
    timeout: str | None = None
    priority: str = "normal"
    pool: str = "default"
    label: tuple[str, ...] = ()
    delay: str | None = None
    run_at: str | None = None
    deadline: str | None = None
    max_attempts: int | None = None
    retry_on: str | None = None
    at_most_once: bool = False
    key: str | None = None
    repo: str | None = None
    ref: str | None = None
    sha: str | None = None
    depth: int | None = None
    filter: str | None = None
    sparse: tuple[str, ...] = ()
    submodules: str | None = None
    lfs: bool | None = None
    tag: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()

    @property
    def given(self) -> list[str]:
        """The names of the options that differ from their defaults."""
        return [
            each.name for each in fields(JobOptions) if getattr(self, each.name) != each.default
        ]

    def spec(self, now: datetime) -> JobSpec:
        """Return the spec that the options mean; delays begin at ``now``.

        Raises:
            InvalidInput: an option is wrong, or contradicts another one.
        """
        run_at, delay_seconds = self._start(now)
        deadline_at, deadline_seconds = _when("deadline", self.deadline, now)
        plain = JobSpec(
            job_type=self._job_type(),
            payload=self._payload(),
            pool_name=self.pool,
            priority=choose("priority", self.priority, Priority),
            labels=self.label,
            git=self._git(),
            tags=self.tag,
            metadata=pairs("meta", self.meta),
            delivery=Delivery.AT_MOST_ONCE if self.at_most_once else Delivery.AT_LEAST_ONCE,
            retry=self._retry(),
            run_at=run_at,
            delay_seconds=delay_seconds,
            deadline_at=deadline_at,
            deadline_seconds=deadline_seconds,
            idempotency_key=self.key,
        )
        if self.timeout is not None:
            plain = evolve(plain, timeout_seconds=seconds("timeout", self.timeout))
        return checked(plain)

    def _git(self) -> GitContext | None:
        return git_context(
            self.repo,
            self.ref,
            self.sha,
            depth=self.depth,
            filter=self.filter,
            sparse_paths=self.sparse,
            submodules=self.submodules,
            lfs=self.lfs,
        )

    def _job_type(self) -> str:
        if self.job_type is not None:
            return self.job_type
        if self.shell is None:
            raise InvalidInput("type", None, "name the type of the job, or give --shell or --from")
        return "shell"

    def _payload(self) -> dict[str, Any]:
        if self.argv and self.shell is not None:
            raise InvalidInput("shell", self.shell, "give a shell line or an argv, not both")
        payload = {} if self.payload is None else json_option("payload", self.payload)
        if self.argv:
            payload["argv"] = list(self.argv)
        if self.shell is not None:
            payload["shell"] = self.shell
        return payload

    def _retry(self) -> RetryPolicy:
        policy = RetryPolicy()
        if self.max_attempts is not None:
            policy = evolve(policy, max_attempts=self.max_attempts)
        if self.retry_on is not None:
            policy = evolve(policy, retry_on=_retryable(self.retry_on))
        return policy

    def _start(self, now: datetime) -> tuple[datetime | None, float | None]:
        if self.delay is not None and self.run_at is not None:
            raise InvalidInput("run-at", self.run_at, "give --delay or --run-at, not both")
        if self.delay is not None:
            return None, seconds("delay", self.delay)
        return _when("run-at", self.run_at, now)


def _when(field: str, text: str | None, now: datetime) -> tuple[datetime | None, float | None]:
    """Return an instant, or seconds from now: what was typed, which is the same the next time."""
    if text is not None and is_duration(text):
        return None, seconds(field, text)
    return (None if text is None else moment(field, text, now)), None


def _retryable(text: str) -> tuple[Verdict, ...]:
    verdicts = choose_some("retry-on", text, Verdict)
    if not {Verdict.FAILED, Verdict.ERROR, Verdict.TIMEOUT}.issuperset(verdicts):
        raise InvalidInput("retry-on", text, "give some of failed, error, timeout, or none")
    return verdicts


def specs_in(file: str) -> list[JobSpec]:
    """Return the specs in a file, one JSON object a line; empty lines are left out.

    Raises:
        InvalidInput: the file can't be read, or a line is no spec; the error names the line.
    """
    converter = _converter()
    return [
        _spec(converter, line, f"{file}:{number}")
        for number, line in enumerate(read_text("from", file).split("\n"), start=1)
        if line.strip()
    ]


def _spec(converter: Converter, line: str, place: str) -> JobSpec:
    from cattrs import BaseValidationError, transform_error

    try:
        return checked(converter.structure(json_object("job", line), JobSpec))
    except InvalidInput as refused:
        raise InvalidInput(f"{place}: {refused.field}", refused.value, refused.reason) from None
    except BaseValidationError as broken:
        reasons = transform_error(broken, format_exception=_reason)
        raise InvalidInput(place, line, "; ".join(reasons)) from None


def _converter() -> Converter:
    """Return what makes specs from JSON: names as one types them, instants in ISO 8601."""
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True)

    def listed(value: Any, kind: Any) -> Any:
        if not isinstance(value, list):  # a text would become a tuple of its letters
            raise InvalidInput("list", value, "give a list")
        item, _ = get_args(kind)
        return tuple(converter.structure(each, item) for each in cast("list[object]", value))

    converter.register_structure_hook_func(_is_tuple, listed)
    converter.register_structure_hook(str, _strict(str))
    converter.register_structure_hook(int, _strict(int))
    converter.register_structure_hook(float, _strict(int | float))
    converter.register_structure_hook(bool, _flag)
    converter.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
    converter.register_structure_hook(
        Priority, lambda value, _: choose("priority", value, Priority)
    )
    converter.register_structure_hook(
        Delivery, lambda value, _: choose("delivery", value, Delivery)
    )
    for kind in (Delivery, Priority, Verdict):
        converter.register_structure_hook(kind, lambda value, kind: choose("", value, kind))
    return converter


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _strict(accepted: Any) -> Callable[[Any, Any], Any]:
    """Return a hook that makes no number of a text and no text of a number."""

    def hook(value: Any, _kind: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise TypeError(f"{value!r} is of another type")
        return value

    return hook


def _flag(value: Any, _kind: Any) -> bool:
    """Take true and false alone: every other text and number would be one of them."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _reason(error: BaseException, kind: type | None) -> str:
    """Return what is wrong with a field of a line."""
    from cattrs.v import format_exception

    return error.reason if isinstance(error, InvalidInput) else format_exception(error, kind)
