"""Git commands, each under the guard, with limits of time and bytes."""

from __future__ import annotations

import signal
import tempfile
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from cicd_core.agent.shell.checkout.failures import GitFailed, GitTooLarge, GitTooSlow
from cicd_core.agent.shell.command import run_guarded
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import IO, BinaryIO

    from cicd_core.agent.shell.checkout.settings import CheckoutSettings
    from cicd_core.agent.shell.command import Ended, Followed

#: Limits the files that git writes; the unit of ``ulimit -f`` is 512 bytes. A fetch writes in a
#: process of its own, which reports the error if the signal does not kill it. Git's standard output
#: goes to a separate file, so that warnings and server banners do not mix with names and ids.
_LIMITED: Final = """\
ulimit -f "$1" 2>/dev/null
printed=$2
shift 2
test "$1" != fetch || trap "" XFSZ
exec git "$@" >"$printed"
"""
_BLOCK: Final = 512
#: The commands that write files; the others print their results.
_WRITING: Final = frozenset({"fetch", "checkout", "repack"})
#: Maximum output of a command in bytes: the names of about a million files.
_PRINTED: Final = 128 * 1024**2
#: Maximum part of a command's output that an error quotes, in bytes.
_QUOTED: Final = 2000
#: The text of EFBIG, in the language that git uses here.
_TOO_LARGE: Final = "File too large"


@frozen(kw_only=True)
class GitCommands:
    """Runs git for one job."""

    #: The folder in which commands run, and in which their output is kept meanwhile.
    folder: Path
    environment: Mapping[str, str]
    settings: CheckoutSettings
    #: Seconds between SIGTERM and SIGKILL when a command is stopped.
    kill_after: float
    #: Tells by when a command must have ended, see :func:`run_guarded`.
    followed: Followed

    async def run(
        self, *args: str, extra: Mapping[str, str] | None = None, at: Path | None = None
    ) -> str:
        """Run a git command to its end, and return its output.

        Args:
            args: the command and its arguments.
            extra: additional variables, including ``GIT_DIR`` if the command needs a repository.
            at: the clone in which it runs, if any.

        A cancellation stops the command and its child processes before it is passed on.

        Raises:
            GitFailed: it ended with an error.
            GitTooSlow: it took longer than the agent allows.
            GitTooLarge: it wrote more than the agent allows, or printed more than 128 MiB.
            SetupFailed: this machine can't start any process.
        """
        command = args[0]
        limit = self.settings.max_bytes if command in _WRITING else _PRINTED
        # Otherwise git would look for a repository in the parent folders, which are not the job's.
        none = {} if at else {"GIT_DIR": str(self.folder / "no-repository")}
        environment = {**self.environment, **none, **(extra or {})}
        with (
            tempfile.NamedTemporaryFile(dir=self.folder, buffering=0) as printed,
            tempfile.TemporaryFile(dir=self.folder, buffering=0) as said,
        ):
            limits = (str(max(1, limit // _BLOCK)), printed.name)
            ended = await self._run((*limits, *args), said, environment, at or self.folder)
            text = await anyio.to_thread.run_sync(_text_of, printed)
            errors = await anyio.to_thread.run_sync(_text_of, said)
        self._check(command, ended, errors or text, limit)
        return text

    async def _run(
        self, args: tuple[str, ...], output: BinaryIO, environment: Mapping[str, str], at: Path
    ) -> Ended | None:
        with anyio.move_on_after(self.settings.timeout_seconds):
            return await run_guarded(
                ["/bin/sh", "-c", _LIMITED, "git", *args],
                cwd=at,
                env=environment,
                output=output,
                kill_after=self.kill_after,
                followed=self.followed,
            )
        return None

    def _check(self, command: str, ended: Ended | None, said: str, limit: int) -> None:
        if ended is None:
            seconds = self.settings.timeout_seconds
            raise GitTooSlow(f"git {command} took longer than {seconds:g} seconds")
        if (ended.how, ended.number) == ("exited", 0):
            return
        killed = (ended.how, ended.number) == ("signalled", int(signal.SIGXFSZ))
        if killed or _TOO_LARGE in said:
            raise GitTooLarge(f"git {command} wrote more than the limit of {limit} bytes")
        why = ended.outcome(f"git {command}").error_message if ended.how != "exited" else ""
        raise GitFailed(command, f"{said[-_QUOTED:]}{why}")


def _text_of(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode(errors="surrogateescape")
