"""A fresh checkout: a detached worktree of a repository on this machine, or a clone of another."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

from cicd_core.agent.logs import read_tail
from cicd_core.agent.shell.command import run_guarded
from cicd_core.agent.shell.environment import git_environment
from cicd_core.errors import reduced
from cicd_core.redaction import redacted_quote, redacted_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.agent.shell.command import Followed
    from cicd_core.agent.shell.payload import Checkout
    from cicd_core.agent.shell.workspace import Workspace

_log = logging.getLogger("cicd_core.agent")

#: Hooks of the repository would run with the agent's environment.
_NO_HOOKS: Final = ("-c", f"core.hooksPath={os.devnull}")


class CheckoutFailed(Exception):
    """Git could not check out what the job needs; the handler makes an outcome of it."""

    def __reduce__(self) -> str | tuple[Any, ...]:
        return reduced(self)

    def __init__(self, checkout: Checkout, what: str, why: str) -> None:
        """Say what was wanted, what git was doing and what it said; passwords are left out."""
        said = redacted_quote(why.strip(), checkout.repo)
        super().__init__(
            f"{checkout.ref} of {redacted_url(checkout.repo)} was not checked out: {what} failed: "
            f"{said}"
        )


async def check_out(
    checkout: Checkout,
    workspace: Workspace,
    output: Callable[[bytes], object],
    kill_after: float,
    followed: Followed,
) -> str:
    """Fill the workspace's tree, and return the commit's id.

    Args:
        checkout: what, and from where; a folder is not copied but gets one more worktree.
        workspace: whose ``tree`` becomes the checkout.
        output: gets the end of what a clone says, without passwords.
        kill_after: seconds between SIGTERM and SIGKILL for a clone that is cancelled.
        followed: says by when a clone must have ended.

    Raises:
        CheckoutFailed: git said no.
    """
    repo = _local(checkout)
    if repo is not None:
        commit = await _commit(checkout, repo, checkout.ref)
        await anyio.to_thread.run_sync(workspace.belongs_to, repo)
        await _git(
            checkout,
            *("-C", str(repo), *_NO_HOOKS, "worktree", "add", "--quiet", "--detach"),
            *(str(workspace.tree), commit),
        )
        return commit
    await _clone(checkout, workspace, output, kill_after, followed)
    try:
        commit = await _commit(checkout, workspace.tree, f"refs/remotes/origin/{checkout.ref}")
    except CheckoutFailed:  # no branch: a tag or a commit
        commit = await _commit(checkout, workspace.tree, checkout.ref)
    tree = str(workspace.tree)
    await _git(checkout, "-C", tree, *_NO_HOOKS, "checkout", "--quiet", "--detach", commit)
    return commit


def _local(checkout: Checkout) -> Path | None:
    """Return the repository's folder, if it is one on this machine."""
    if "://" in checkout.repo:
        return None
    try:
        repo = Path(checkout.repo)
        return repo.resolve() if repo.is_dir() else None
    except OSError:  # too long for a path, or nothing that this user may look at: git says why
        return None


async def _clone(
    checkout: Checkout,
    workspace: Workspace,
    output: Callable[[bytes], object],
    kill_after: float,
    followed: Followed,
) -> None:
    clone = ("git", *_NO_HOOKS, "clone", "--quiet", "--no-checkout", "--")
    said = workspace.folder / "clone.log"
    try:
        with said.open("wb", buffering=0) as file:
            ended = await run_guarded(
                [*clone, checkout.repo, str(workspace.tree)],
                cwd=workspace.folder,
                env=git_environment(os.environ),
                output=file,
                kill_after=kill_after,
                followed=followed,
            )
    finally:  # git may quote the URL that it was given
        output(redacted_quote(read_tail(said), checkout.repo).encode(errors="replace"))
    if (ended.how, ended.number) != ("exited", 0):
        why = ended.outcome("git").error_message or ""
        raise CheckoutFailed(checkout, "the clone", f"{why}; see the log")


async def _commit(checkout: Checkout, repo: Path, ref: str) -> str:
    """Return the id of the commit that a ref names."""
    wanted = f"{ref}^{{commit}}"
    return await _git(checkout, "-C", str(repo), "rev-parse", "--verify", "--quiet", wanted)


async def _git(checkout: Checkout, *args: str) -> str:
    """Run a quick git command; return what it says."""
    done = await anyio.run_process(
        ["git", *args],
        stdin=subprocess.DEVNULL,
        env=git_environment(os.environ),
        check=False,
        start_new_session=True,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace") or "there is no such commit"
        raise CheckoutFailed(checkout, f"git {_verb(args)}", said)
    return done.stdout.decode(errors="replace").strip()


def _verb(args: tuple[str, ...]) -> str:
    """Return the git command that the arguments hold, for people."""
    return next((arg for arg in args if arg in {"worktree", "rev-parse", "checkout"}), args[0])
