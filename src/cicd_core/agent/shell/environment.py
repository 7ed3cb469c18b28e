"""What a command sees of its agent's environment: what is named, and nothing else."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.agent.job_run import JobRun

#: What a command inherits unless the agent's program says otherwise: no secrets among them.
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
    """Return the variables whose names match one of the patterns (``*`` stands for anything)."""
    wanted = tuple(patterns)
    return {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in wanted)
    }


#: What a program may need to be loaded at all, and the guard with it.
_LOADER: Final = ("LD_*", "DYLD_*", "GLIBC_TUNABLES")
#: As in `guard.py`.
_COMMANDS: Final = "JOB_"


def guard_environment(environ: Mapping[str, str], command: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a guard: what loads it, and what it hands on to its command.

    The command's variables must reach the command only: with its ``LD_PRELOAD``, say, the guard
    would not start. And of the agent's, whatever the command could read from its parent's
    environment, only what its guard needs.
    """
    handed_on = {f"{_COMMANDS}{name}": value for name, value in command.items()}
    return inherited(environ, _LOADER) | handed_on


def job_variables(run: JobRun) -> dict[str, str]:
    """Return what tells a command which attempt at which job it is."""
    return {
        "CICD_JOB_ID": run.job.job_id,
        "CICD_FENCE": str(run.fence),
        "CICD_ATTEMPT": str(run.job.attempt),
    }
