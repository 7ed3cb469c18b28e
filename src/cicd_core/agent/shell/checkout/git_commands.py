"""Git commands, each under the guard, with a limit of time and of bytes."""

from __future__ import annotations

import signal
import tempfile
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
from attrs import frozen

from cicd_core.agent.shell.checkout.failures import GitFailed, GitTooLarge, GitTooSlow
from cicd_core.agent.shell.command import run_guarded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from cicd_core.agent.shell.checkout.settings import CheckoutSettings
    from cicd_core.agent.shell.command import Ended, Followed

#: Limits the files that git writes; a unit of ``ulimit -f`` is 512 bytes.
_LIMITED: Final = 'ulimit -f "$1" 2>/dev/null; shift; exec git "$@"'
_BLOCK: Final = 512
#: The most of a command's output that an error quotes, in bytes.
_QUOTED: Final = 2000
#: What git says when a process that it started wrote too large a file.
_TOO_LARGE: Final = (f"died of signal {int(signal.SIGXFSZ)}", "File too large")


@frozen(kw_only=True)
class GitCommands:
    """Runs git for one job."""

    #: Where the commands run, and their output is kept while they do.
    folder: Path
    environment: Mapping[str, str]
    settings: CheckoutSettings
    #: Seconds between SIGTERM and SIGKILL for a command that is stopped.
    kill_after: float
    #: Says by when a command must have ended, see :func:`run_guarded`.
    followed: Followed

    async def run(
        self, *args: str, extra: Mapping[str, str] | None = None, at: Path | None = None
    ) -> str:
        """Run a git command to its end, and return its output, both streams of it.

        Args:
            args: the command and its arguments.
            extra: further variables.
            at: where it runs, if not in the folder of the job.

        Cancellation stops the command and all that it started before it goes on.

        Raises:
            GitFailed: it ended with an error.
            GitTooSlow: it took longer than the agent allows.
            GitTooLarge: it wrote more than the agent allows.
            SetupFailed: this machine can't start any process.
        """
        command = args[0]
        with tempfile.TemporaryFile(dir=self.folder, buffering=0) as output:
            environment = {**self.environment, **(extra or {})}
            ended = await self._run(args, output, environment, at or self.folder)
            said = await anyio.to_thread.run_sync(_text_of, output)
        self._check(command, ended, said)
        return said

    async def _run(
        self, args: tuple[str, ...], output: BinaryIO, environment: Mapping[str, str], at: Path
    ) -> Ended | None:
        blocks = str(max(1, self.settings.max_bytes // _BLOCK))
        with anyio.move_on_after(self.settings.timeout_seconds):
            return await run_guarded(
                ["/bin/sh", "-c", _LIMITED, "git", blocks, *args],
                cwd=at,
                env=environment,
                output=output,
                kill_after=self.kill_after,
                followed=self.followed,
            )
        return None

    def _check(self, command: str, ended: Ended | None, said: str) -> None:
        if ended is None:
            limit = self.settings.timeout_seconds
            raise GitTooSlow(f"git {command} took longer than {limit:g} seconds")
        if (ended.how, ended.number) == ("exited", 0):
            return
        xfsz = int(signal.SIGXFSZ)
        if (ended.how, ended.number) == ("signalled", xfsz) or any(
            each in said for each in _TOO_LARGE
        ):
            limit = self.settings.max_bytes
            raise GitTooLarge(f"git {command} wrote more than the limit of {limit} bytes")
        why = ended.outcome(f"git {command}").error_message if ended.how != "exited" else ""
        raise GitFailed(command, f"{said[-_QUOTED:]}{why}")


def _text_of(output: BinaryIO) -> str:
    output.seek(0)
    return output.read().decode(errors="surrogateescape")
