"""Exit codes and their meanings; converts errors to an exit code and a line."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, cast

from cicd_core.errors import (
    CicdError,
    CorruptRecord,
    IllegalTransition,
    InvalidInput,
    NotFound,
    OperationRejected,
    SchemaTooNew,
    SchemaTooOld,
    StoreError,
    UnknownScheme,
    UnrecognizedDatabase,
    UnsupportedCapability,
)
from cicd_core.redaction import redacted_url, shown_value

if TYPE_CHECKING:
    from cicd_core.agent.answers import SetupFailed


class ExitCode(IntEnum):
    """The exit codes of the program."""

    OK = 0
    FAILED = 1
    INVALID = 2
    NOT_FOUND = 3
    REFUSED = 4
    STORE = 5
    FOREIGN = 6
    DEFECT = 70
    MACHINE = 71
    STUCK = 75
    INTERRUPTED = 130
    BROKEN_PIPE = 141


#: For people; ``cicd-core --help`` shows it.
MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "success",
    ExitCode.FAILED: "an audit or check failed, or the awaited job failed without an exit code",
    ExitCode.INVALID: "a wrong option or value, or a store that this installation cannot open",
    ExitCode.NOT_FOUND: "job, deployment, agent or pool not found",
    ExitCode.REFUSED: "not allowed now: an illegal transition, a lost lease, a conflict",
    ExitCode.STORE: "the store is unavailable, full or read-only",
    ExitCode.FOREIGN: "the data is damaged, or belongs to another program or version",
    ExitCode.DEFECT: "a bug in this program; see the traceback",
    ExitCode.MACHINE: "this machine failed: a folder, no space, no process, a closed output",
    ExitCode.STUCK: "an agent exited because slots were stuck (--exit-when-stuck): restart it",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
    ExitCode.BROKEN_PIPE: "the output pipe was closed",
}

#: The first matching class decides.
_BY_CLASS: Final = (
    (InvalidInput, ExitCode.INVALID),
    (UnknownScheme, ExitCode.INVALID),
    (UnsupportedCapability, ExitCode.INVALID),
    (NotFound, ExitCode.NOT_FOUND),
    (OperationRejected, ExitCode.REFUSED),
    (CorruptRecord, ExitCode.FOREIGN),
    (UnrecognizedDatabase, ExitCode.FOREIGN),
    (SchemaTooNew, ExitCode.FOREIGN),
    (SchemaTooOld, ExitCode.FOREIGN),
    (StoreError, ExitCode.STORE),
)


def code_of(error: CicdError) -> ExitCode:
    """Return the exit code of an error of the library."""
    found = (code for kind, code in _BY_CLASS if isinstance(error, kind))
    return next(found, ExitCode.REFUSED)


def described(error: CicdError) -> dict[str, Any]:
    """Return an error as JSON: class, message and attributes."""
    from cicd_core.public_json.writing import write

    problem = {"error": type(error).__name__, "message": str(error), "retryable": error.retryable}
    carried = {
        name: _without_credentials(write(value, shown_value))
        for name, value in vars(error).items()
        if name[0] != "_" and value is not ...  # a missing value, or one that must not be shown
    }
    return problem | {name: value for name, value in carried.items() if name not in problem}


def _without_credentials(value: Any) -> Any:
    """Return a JSON value without the credentials of its URLs."""
    if isinstance(value, str):
        return redacted_url(value)
    if isinstance(value, list):
        return [_without_credentials(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {name: _without_credentials(member) for name, member in members.items()}
    return value


def report(error: CicdError, *, as_json: bool) -> None:
    """Write an error to stderr: one line, or one JSON object."""
    problem = described(error)
    if isinstance(error, IllegalTransition) and not as_json:
        from cicd_core.cli.refusals import in_words

        problem["message"] = in_words(error)
    _write(problem, as_json=as_json)


def report_usage(message: str) -> None:
    """Write a usage error to stderr, as JSON."""
    _write({"error": "UsageError", "message": message, "retryable": False}, as_json=True)


def report_interrupt(message: str, job_ids: list[str], *, as_json: bool) -> None:
    """Write to stderr which jobs continue after Ctrl-C, without the word error."""
    if as_json:
        problem = {"error": "Interrupted", "message": message, "retryable": False}
        _write(problem | {"job_ids": job_ids}, as_json=True)
    else:
        with suppress(OSError):
            sys.stderr.write(f"\n{message}\n")


def _write(problem: Mapping[str, Any], *, as_json: bool) -> None:
    from cicd_core.cli.output import dump
    from cicd_core.printable import printable

    line = dump(problem) if as_json else f"error: {printable(' '.join(problem['message'].split()))}"
    with suppress(OSError):  # stderr itself may not be writable
        sys.stderr.write(f"{line}\n")


class ClosedOutput(io.StringIO):
    """Replaces a stdout that was closed at the start of the program."""


def _require_output() -> None:
    if isinstance(sys.stdout, ClosedOutput):
        hint = "stdout is closed, nothing was done; open it, or use >/dev/null"
        raise OSError(errno.EBADF, hint)


@contextmanager
def reporting(*, as_json: bool, writes: bool = True) -> Generator[None]:
    """Convert errors in the block to a report and an exit code.

    Args:
        as_json: whether the report is JSON.
        writes: whether the result goes to stdout; if so, a closed stdout stops the command.

    Raises:
        SystemExit: the error is one of the library, an interrupt, a closed output pipe, or a
            problem of the machine; any other error is a bug, and passes through.
    """
    try:
        if writes:
            _require_output()
        yield
        sys.stdout.flush()
    except BaseException as raised:
        # Imported late: a successful command does not need the agent. Task groups wrap
        # the errors that they pass on.
        from cicd_core.agent.answers import SetupFailed, alone

        error = alone(raised)
        if isinstance(error, CicdError):
            report(error, as_json=as_json)
            raise SystemExit(int(code_of(error))) from None
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None
        if isinstance(error, BrokenPipeError):
            _drop_output()
            raise SystemExit(int(ExitCode.BROKEN_PIPE)) from None
        if isinstance(error, OSError | SetupFailed):
            _write(_machine_problem(error), as_json=as_json)
            raise SystemExit(int(ExitCode.MACHINE)) from None
        raise


def _machine_problem(error: OSError | SetupFailed) -> dict[str, Any]:
    """Return the report; if stdout is not writable, drop its content."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    return {"error": type(error).__name__, "message": message, "retryable": False}


def _drop_output() -> None:
    """Discard the buffered output: otherwise Python reports it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
