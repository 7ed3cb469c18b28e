"""The exit codes, what they mean, and how an error becomes one of them and one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Final

from cicd_core.errors import (
    CicdError,
    CorruptRecord,
    ForeignDatabase,
    InvalidInput,
    NewerSchema,
    NotFound,
    Refused,
    SchemaTooOld,
    StoreError,
    UnknownScheme,
    UnsupportedCapability,
)


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
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
    ExitCode.BROKEN_PIPE: "whoever read the output went away",
}

#: The first class that an error is an instance of decides.
_BY_CLASS: Final = (
    (InvalidInput, ExitCode.INVALID),
    (UnknownScheme, ExitCode.INVALID),
    (UnsupportedCapability, ExitCode.INVALID),
    (NotFound, ExitCode.NOT_FOUND),
    (Refused, ExitCode.REFUSED),
    (CorruptRecord, ExitCode.FOREIGN),
    (ForeignDatabase, ExitCode.FOREIGN),
    (NewerSchema, ExitCode.FOREIGN),
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
    carried = {name: plain(value) for name, value in vars(error).items() if name[0] != "_"}
    return told | {name: value for name, value in carried.items() if name not in told}


def report(error: CicdError, *, as_json: bool) -> None:
    """Write an error to stderr: one line, or one JSON object."""
    from cicd_core.cli.output import dump

    if as_json:
        sys.stderr.write(f"{dump(described(error))}\n")
    else:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")


@contextmanager
def reporting(*, as_json: bool) -> Generator[None]:
    """Turn what goes wrong inside into a report and an exit code.

    Raises:
        SystemExit: the error is one of the library, an interrupt, or a reader that went away;
            anything else is a defect, and passes through.
    """
    try:
        yield
        sys.stdout.flush()
    except BaseException as raised:
        from cicd_core.agent.answers import alone  # task groups wrap what they pass on

        error = alone(raised)
        if isinstance(error, CicdError):
            report(error, as_json=as_json)
            raise SystemExit(int(code_of(error))) from None
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit(int(ExitCode.INTERRUPTED)) from None
        if isinstance(error, BrokenPipeError):
            # What is still buffered would complain once more when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(int(ExitCode.BROKEN_PIPE)) from None
        raise
