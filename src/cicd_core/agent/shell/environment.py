"""The variables that a command gets from its agent's environment: only named ones."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.agent.job_run import JobRun

#: The variables that a command inherits by default; none of them is a secret.
INHERITED: Final = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "TMPDIR",
    "TZ",
)


def inherited(environ: Mapping[str, str], patterns: Iterable[str]) -> dict[str, str]:
    """Return the variables whose names match one of the patterns (``*`` matches any text)."""
    wanted = tuple(patterns)
    return {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in wanted)
    }


#: Variables that programs, and the guard, may need to be loaded at all.
_LOADER: Final = ("LD_*", "DYLD_*", "GLIBC_TUNABLES")
#: As in `guard.py`.
_COMMANDS: Final = "JOB_"


def guard_environment(environ: Mapping[str, str], command: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a guard: what loads it, and what it passes on to its command.

    The command's variables must reach only the command: with its ``LD_PRELOAD``, for example, the
    guard would not start. A command may be able to read its parent's environment, so the guard gets
    only the variables of the agent that it needs.
    """
    handed_on = {f"{_COMMANDS}{name}": value for name, value in command.items()}
    return inherited(environ, _LOADER) | handed_on


def job_variables(run: JobRun) -> dict[str, str]:
    """Return the variables that identify the job and the attempt to a command."""
    return {
        "CICD_JOB_ID": run.job.job_id,
        "CICD_FENCE": str(run.fence),
        "CICD_ATTEMPT": str(run.job.attempt),
    }
