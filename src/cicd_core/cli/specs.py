"""Specs of jobs from typed options, and from a file with a JSON object per line."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from attrs import fields

from cicd_core.cli.inputs import (
    choose,
    choose_some,
    git_context,
    instant,
    is_duration,
    json_object,
    json_option,
    pairs,
    read_text,
    seconds,
)
from cicd_core.errors import InvalidInput
from cicd_core.model.job import Delivery, Priority, RetryPolicy, Verdict
from cicd_core.model.spec import JobSpec, checked
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from cicd_core.model.git import GitContext


@frozen(kw_only=True)
class JobOptions:
    """The typed options of ``enqueue``, with their defaults."""

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

    def spec(self) -> JobSpec:
        """Return the spec of the options; delays start at the enqueue.

        Raises:
            InvalidInput: an option is wrong, or contradicts another one.
        """
        run_at, delay_seconds = self._start()
        deadline_at, deadline_seconds = _when("deadline", self.deadline)
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
            hint = "give the job type, a command (-- make test), --shell or --from"
            raise InvalidInput("type", "", hint)
        return "shell"

    def _payload(self) -> dict[str, Any]:
        if self.argv and not self.argv[0]:
            raise InvalidInput("command", "", "give the program to run, such as -- make test")
        if self.shell is not None and not self.shell.strip():
            raise InvalidInput("shell", self.shell, "give a shell line, such as 'make test'")
        if self.argv and self.shell is not None:
            raise InvalidInput("shell", self.shell, "give a shell line or a command, not both")
        if self.payload is None:
            return {"argv": list(self.argv)} if self.argv else self._script()
        if self.argv or self.shell is not None:
            given, field = ("a command", "argv") if self.argv else ("--shell", "shell")
            hint = f'{given} sets the payload: omit one of them, or put "{field}" into the JSON'
            raise InvalidInput("payload", self.payload, hint)
        return json_option("payload", self.payload)

    def _script(self) -> dict[str, Any]:
        return {} if self.shell is None else {"shell": self.shell}

    def _retry(self) -> RetryPolicy:
        policy = RetryPolicy()
        if self.max_attempts is not None:
            policy = evolve(policy, max_attempts=self.max_attempts)
        if self.retry_on is not None:
            policy = evolve(policy, retry_on=_retryable(self.retry_on))
        return policy

    def _start(self) -> tuple[datetime | None, float | None]:
        if self.delay is not None and self.run_at is not None:
            raise InvalidInput("run-at", self.run_at, "give --delay or --run-at, not both")
        if self.delay is not None:
            return None, seconds("delay", self.delay)
        return _when("run-at", self.run_at)


def _when(field: str, text: str | None) -> tuple[datetime | None, float | None]:
    """Return a time, or seconds from now, as typed, so that a repetition has the same value."""
    if text is not None and is_duration(text):
        return None, seconds(field, text)
    return (None if text is None else instant(field, text)), None


def _retryable(text: str) -> tuple[Verdict, ...]:
    hint = "give some of failed, error, timeout, or none"
    try:
        verdicts = choose_some("retry-on", text, Verdict)
    except InvalidInput as wrong:  # other verdicts cannot be retried
        raise InvalidInput("retry-on", wrong.value, hint) from None
    if not {Verdict.FAILED, Verdict.ERROR, Verdict.TIMEOUT}.issuperset(verdicts):
        raise InvalidInput("retry-on", text, hint)
    return verdicts


def specs_in(file: str) -> list[JobSpec]:
    """Return the specs in a file, one JSON object per line; empty lines are skipped.

    Raises:
        InvalidInput: the file cannot be read, or a line is not a spec; the error names the line.
    """
    return [
        _spec(line, f"{file}:{number}")
        for number, line in enumerate(read_text("from", file).split("\n"), start=1)
        if line.strip()
    ]


def _spec(line: str, place: str) -> JobSpec:
    from cicd_core.public_json import from_json

    try:
        return checked(from_json(JobSpec, _choices_named(json_object("job", line))))
    except InvalidInput as refused:
        raise InvalidInput(f"{place}: {refused.field}", refused.value, refused.reason) from None


def _choices_named(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a line, with choices as in JSON: ``HIGH`` becomes ``high``."""
    found: dict[str, object] = {
        name: _choice(fields[name]) for name in ("priority", "delivery") if name in fields
    }
    if isinstance(fields.get("retry"), dict):
        retry = cast("dict[str, object]", fields["retry"])
        if isinstance(verdicts := retry.get("retry_on"), list):
            named = [_choice(each) for each in cast("list[object]", verdicts)]
            found["retry"] = {**retry, "retry_on": named}
    return fields | found


def _choice(value: object) -> object:
    """Return a name as in JSON; a value that is not a text stays, for a later check."""
    return value.strip().replace("-", "_").lower() if isinstance(value, str) else value
