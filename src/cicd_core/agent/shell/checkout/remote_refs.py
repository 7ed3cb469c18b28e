"""Finds the object of a request: asks the repository itself, by exact names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cicd_core.agent.shell.checkout.failures import CheckoutFailed
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.agent.shell.checkout.git_commands import GitCommands
    from cicd_core.agent.shell.checkout.sources import Source
    from cicd_core.model.git import GitContext

_LINE: Final = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\t(.+)")


@frozen
class Target:
    """The object to check out."""

    #: A commit, or a tag of one.
    oid: str
    #: The full name of the ref that named it; None for HEAD, and for a commit that the job names.
    ref: str | None
    #: Whether the job itself names the commit.
    pinned: bool


async def resolve(commands: GitCommands, source: Source, git: GitContext) -> Target:
    """Return the object that a request means now; a commit id needs no query.

    Raises:
        CheckoutFailed: the repository has no such ref, or can't be queried.
    """
    if git.pinned is not None:
        ref = None if git.ref == git.pinned else git.ref
        return Target(git.pinned, ref, pinned=True)
    name = git.ref or "HEAD"
    names = candidates(name)
    extra = {"GIT_ALLOW_PROTOCOL": source.protocols}
    said = await commands.run("ls-remote", "--", source.address, *names, extra=extra)
    listed = said.split("\n")  # a ref may contain Unicode spaces and line separators
    found = {match[2]: match[1] for match in map(_LINE.fullmatch, listed) if match}
    for item in names:
        if item in found:
            return Target(found[item], None if item == "HEAD" else item, pinned=False)
    raise CheckoutFailed(_missing(name, names))


def candidates(name: str) -> tuple[str, ...]:
    """Return the full names that a ref may mean, in order of priority."""
    if name == "HEAD" or name.startswith("refs/"):
        return (name,)
    return (f"refs/heads/{name}", f"refs/tags/{name}")


def _missing(name: str, names: tuple[str, ...]) -> str:
    if name == "HEAD":
        return "the HEAD of the repository points to no commit"
    return f"the repository has no {' and no '.join(names)}"
