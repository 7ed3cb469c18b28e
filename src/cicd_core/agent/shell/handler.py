"""The shell handler: commands in new checkouts, for agents that run the commands of jobs."""

from __future__ import annotations

import os
import re
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from cicd_core.agent.answers import SetupFailed
from cicd_core.agent.shell.checkout import (
    CheckoutContext,
    CheckoutFailed,
    CheckoutSettings,
    check_out,
)
from cicd_core.agent.shell.checkout.mirror_cache import MirrorCache
from cicd_core.agent.shell.command import run_guarded
from cicd_core.agent.shell.environment import INHERITED, inherited, job_variables
from cicd_core.agent.shell.output import captured
from cicd_core.agent.shell.payload import parsed
from cicd_core.agent.shell.workspace import default_root, open_workspace
from cicd_core.errors import InvalidInput
from cicd_core.ids import IdSource
from cicd_core.model.checks import check_kind, check_seconds
from cicd_core.model.outcome import Outcome
from cicd_core.redaction import redacted_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence
    from typing import BinaryIO

    from cicd_core.agent.job_run import JobRun
    from cicd_core.agent.shell.payload import ShellCommand
    from cicd_core.agent.shell.workspace import Workspace
    from cicd_core.model.git import GitContext
    from cicd_core.model.job import Job

_ids = IdSource()
#: The size of a probe's file: a full file system has no room for it.
_PROBE_BYTES: Final = 64 * 1024
#: Runs a ``shell`` line.
_SHELL: Final = ("/bin/sh", "-c")


class ShellHandler:
    """Runs the command of a job's payload in a new checkout, or in an empty folder.

    The payload is an object with these fields, and no others:

    - ``argv``, a list: the command and its arguments; or ``shell``, a line for ``/bin/sh``;
    - ``env``: an object of variables;
    - ``cwd``: the working directory, below the checkout;
    - ``checkout``: true for the job's git context, which is the default if it has one, false for
      an empty folder, or an object with fields of a git context: ``repo``, ``ref``,
      ``commit_sha``, ``depth``, ``filter``, ``sparse_paths``, ``submodules`` and ``lfs``. Each job
      gets a clone of its own, of exactly that commit.

    The exit code sets the verdict: 0 is a success, any other code is ``failed``. An invalid
    payload, a failed checkout, and a command that can't be started are an ``error``. Both output
    streams go to the attempt's log. The command gets ``CICD_JOB_ID``, ``CICD_FENCE`` and
    ``CICD_ATTEMPT``, and from the agent's own environment only the variables that ``inherit_env``
    names. Git runs under the same guard, with a small environment and the configuration of
    ``checkout``.

    Cancel, timeout, drain and lost lease send SIGTERM to the command's process group, and SIGKILL
    ``kill_after`` seconds later. If a lease can't be renewed, the command is stopped early enough
    for SIGKILL to come before the end of the lease, even if the agent itself hangs or is stopped.
    If the agent dies, for whatever reason, the group is killed at once. A process that leaves the
    group can't be stopped. POSIX only.

    Example:
        An agent that runs the commands of jobs::

            agent.add_handler("shell", ShellHandler())
    """

    def __init__(
        self,
        *,
        work_dir: str | os.PathLike[str] | None = None,
        inherit_env: Sequence[str] = INHERITED,
        kill_after: float = 5.0,
        checkout: CheckoutSettings | None = None,
    ) -> None:
        """Configure the handler; nothing happens before the first job.

        Args:
            work_dir: the folder for working folders, each of which exists while its job runs; the
                default is a folder of this user in the system's temporary folder.
            inherit_env: names of variables, or patterns such as ``LC_*``, that commands inherit.
            kill_after: seconds between SIGTERM and SIGKILL; less if the lease ends before that. At
                most a third of a lease is reserved for it.
            checkout: how the agent gets the sources of its jobs.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        if isinstance(inherit_env, str):
            raise InvalidInput("inherit_env", inherit_env, "give a list of names, not one string")
        self._root = default_root() if work_dir is None else Path(work_dir).absolute()
        self._inherit = tuple(inherit_env)
        self._kill_after = check_seconds("kill_after", kill_after)
        if checkout is not None:
            check_kind("checkout", checkout, CheckoutSettings)
        self._checkout = checkout or CheckoutSettings()
        self._cache = MirrorCache(self._checkout.folder, self._checkout.cache_bytes)
        self._wants_git = False

    @property
    def stop_seconds(self) -> float:
        """How long a stopped command may take to end; the agent stops it early enough for that."""
        return self._kill_after

    async def __call__(self, run: JobRun) -> Outcome:
        """Run the job's command, and return how it ended.

        Raises:
            InvalidInput: the payload is invalid; the error names the field.
        """
        command = parsed(run.payload, run.job.git)
        async with self._workspace(_name_of(run.job)) as workspace:
            refused = await self._prepare(run, command.checkout, workspace)
            return refused or await self._run(run, command, workspace.tree)

    async def probe(self) -> None:
        """Check that this machine can run a job: a folder with some space, and a process.

        Git and the cache folder are checked only after the first job that needs a checkout.

        Raises:
            SetupFailed: it can't.
        """
        async with self._workspace(f"probe-{_ids.claim_id()[:8]}") as workspace:
            with _setting_up(f"the work folder {self._root}"):
                output = workspace.folder / "output.log"
                output.write_bytes(bytes(_PROBE_BYTES))
                with output.open("ab", buffering=0) as file:
                    await self._probe_command(["/bin/sh", "-c", ":"], workspace, file)
                    if self._wants_git:
                        await self._probe_command(["git", "--version"], workspace, file)
            if self._wants_git:
                with _setting_up(f"the cache folder {self._checkout.folder}"):
                    await anyio.to_thread.run_sync(self._cache.probe, _PROBE_BYTES)

    async def _probe_command(
        self, argv: Sequence[str], workspace: Workspace, output: BinaryIO
    ) -> None:
        ended = await run_guarded(
            argv,
            cwd=workspace.folder,
            env=inherited(os.environ, self._inherit),
            output=output,
            kill_after=self._kill_after,
        )
        if (ended.how, ended.number) != ("exited", 0):
            raise SetupFailed(str(ended.outcome(argv[0]).error_message))

    async def _prepare(
        self, run: JobRun, checkout: GitContext | None, workspace: Workspace
    ) -> Outcome | None:
        """Fill the working folder; return an outcome if the job's request is not possible.

        Raises:
            SetupFailed: the machine is the cause, not the job.
        """
        if checkout is None:
            with _setting_up(f"the work folder {self._root}"):
                workspace.tree.mkdir()
            return None
        self._wants_git = True
        try:
            context = CheckoutContext(
                settings=self._checkout,
                cache=self._cache,
                workspace=workspace,
                environ=os.environ,
                kill_after=self._kill_after,
                followed=run.lease_followed,
            )
            done = await check_out(checkout, context)
        except InvalidInput as refused:  # the cache folder
            raise SetupFailed(str(refused)) from refused
        except (CheckoutFailed, OSError) as failed:
            return await self._blamed(failed)
        named = "" if done.ref is None else f"{done.ref} of "
        modules = f" with {done.submodules} submodules" if done.submodules else ""
        run.log(f"checked out {done.commit}, {named}{redacted_url(checkout.repo)}{modules}")
        return None

    async def _blamed(self, failed: Exception) -> Outcome:
        """Return the outcome of a job that can't be checked out on any machine.

        Raises:
            SetupFailed: this machine is the cause.
        """
        try:
            await self.probe()
        except SetupFailed as broken:
            raise SetupFailed(f"{broken} (found when {failed})") from failed
        return Outcome.error(str(failed))

    async def _run(self, run: JobRun, command: ShellCommand, tree: Path) -> Outcome:
        argv = command.argv if command.argv is not None else (*_SHELL, command.shell or "")
        environment = inherited(os.environ, self._inherit)
        cwd = _inside(tree, command.cwd)
        async with captured(run.log_output) as output:
            ended = await run_guarded(
                argv,
                cwd=cwd,
                env={**environment, **command.env, **job_variables(run)},
                output=output,
                kill_after=self._kill_after,
                followed=run.lease_followed,
            )
        return ended.outcome(repr(argv[0]) if command.argv is not None else "the shell line")

    @asynccontextmanager
    async def _workspace(self, name: str) -> AsyncGenerator[Workspace]:
        with _setting_up(f"the work folder {self._root}"):
            workspace = await anyio.to_thread.run_sync(open_workspace, self._root, name)
        try:
            yield workspace
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(workspace.remove)


def _name_of(job: Job) -> str:
    job_id = re.sub("[^A-Za-z0-9]", "-", job.job_id)
    return f"{job_id}-{job.attempt}-{_ids.claim_id()[:8]}"


@contextmanager
def _setting_up(what: str) -> Generator[None]:
    """Convert errors of this machine, which every job would meet, to failed set-ups.

    Raises:
        SetupFailed: an OSError came, or the folder does not belong to the agent's user.
    """
    try:
        yield
    except OSError as refused:
        raise SetupFailed(f"{what}: {refused.strerror or refused}") from refused
    except InvalidInput as refused:
        raise SetupFailed(str(refused)) from refused


def _inside(tree: Path, cwd: str) -> Path:
    """Return the working directory.

    Raises:
        InvalidInput: it does not exist, or lies outside the checkout, perhaps through a link.
    """
    folder = (tree / cwd).resolve()
    if not folder.is_relative_to(tree.resolve()):
        raise InvalidInput("payload.cwd", cwd, "give a folder inside the checkout")
    if not folder.is_dir():
        raise InvalidInput("payload.cwd", cwd, "the checkout has no such folder")
    return folder
