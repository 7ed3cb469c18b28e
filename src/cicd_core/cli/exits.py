"""The exit codes, what they mean, and how an error becomes one of them and one line."""

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
from cicd_core.redaction import redacted_url

if TYPE_CHECKING:
    from cicd_core.agent.answers import SetupFailed


class ExitCode(IntEnum):
    """What the program tells the one who called it."""

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
    ExitCode.OK: "it is done",
    ExitCode.FAILED: "the job waited for did not succeed, or an audit or a check failed",
    ExitCode.INVALID: "a wrong option or value, or a store that this installation can't open",
    ExitCode.NOT_FOUND: "there is no such job, deployment, agent or pool",
    ExitCode.REFUSED: "not allowed now: an illegal transition, a lost lease, a conflict",
    ExitCode.STORE: "the store is unavailable, full or read-only",
    ExitCode.FOREIGN: "the data is not ours, is damaged, or was written by another version",
    ExitCode.DEFECT: "a defect of this program; the traceback says where",
    ExitCode.MACHINE: "this machine can't do it: a folder, no space, no process, a closed output",
    ExitCode.STUCK: "an agent ended since slots were stuck (--exit-when-stuck): start it again",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
    ExitCode.BROKEN_PIPE: "whoever read the output went away",
}

#: The first class that an error is an instance of decides.
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
    """Return an error as JSON can say it: class, message, and what it carries."""
    from cicd_core.cli.output import plain

    told = {"error": type(error).__name__, "message": str(error), "retryable": error.retryable}
    carried = {
        name: _without_credentials(plain(value))
        for name, value in vars(error).items()
        if name[0] != "_"
    }
    return told | {name: value for name, value in carried.items() if name not in told}


def _without_credentials(value: Any) -> Any:
    """Return a value that JSON can say without the credentials of URLs in it."""
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
    _write(described(error), as_json=as_json)


def _write(told: Mapping[str, Any], *, as_json: bool) -> None:
    from cicd_core.cli.output import dump
    from cicd_core.cli.printable import printable

    line = dump(told) if as_json else f"error: {printable(' '.join(told['message'].split()))}"
    with suppress(OSError):  # stderr may be what can't be written
        sys.stderr.write(f"{line}\n")


class ClosedOutput(io.StringIO):
    """Stands for a stdout that was closed when the program began."""


def _require_output() -> None:
    if isinstance(sys.stdout, ClosedOutput):
        hint = "stdout is closed, nothing was done; open it, or use >/dev/null"
        raise OSError(errno.EBADF, hint)


@contextmanager
def reporting(*, as_json: bool, writes: bool = True) -> Generator[None]:
    """Turn what goes wrong inside into a report and an exit code.

    Args:
        as_json: whether the report is JSON.
        writes: whether the result goes to stdout: nothing is done then where that is closed.

    Raises:
        SystemExit: the error is one of the library, an interrupt, a reader that went away, or the
            machine's; anything else is a defect, and passes through.
    """
    try:
        if writes:
            _require_output()
        yield
        sys.stdout.flush()
    except BaseException as raised:
        # Imported late, since a command that succeeds needs nothing of the agent. Task groups wrap
        # what they pass on.
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
            _write(_told_by_machine(error), as_json=as_json)
            raise SystemExit(int(ExitCode.MACHINE)) from None
        raise


def _told_by_machine(error: OSError | SetupFailed) -> dict[str, Any]:
    """Return what to report; if stdout can't be written, what it holds is dropped."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    return {"error": type(error).__name__, "message": message, "retryable": False}


def _drop_output() -> None:
    """Send what is still buffered nowhere: it would complain once more when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
