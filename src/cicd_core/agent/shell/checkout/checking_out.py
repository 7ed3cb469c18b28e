"""One checkout, from its request to its tree with submodules."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from attrs import define, field

from cicd_core.agent.shell.checkout.clone import PrivateClone
from cicd_core.agent.shell.checkout.configuration import checkout_environment, write_configuration
from cicd_core.agent.shell.checkout.failures import CheckoutFailed, GitFailed
from cicd_core.agent.shell.checkout.git_commands import GitCommands
from cicd_core.agent.shell.checkout.links import check_links
from cicd_core.agent.shell.checkout.mirror import (
    MirrorDamaged,
    MirrorFetch,
    make_mirror,
    mirror_key,
)
from cicd_core.agent.shell.checkout.remote_refs import resolve
from cicd_core.agent.shell.checkout.sources import check_owner, source_of
from cicd_core.agent.shell.checkout.submodules import note_submodules, submodules_of
from cicd_core.model.git import Submodules
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cicd_core.agent.shell.checkout.mirror_cache import MirrorCache
    from cicd_core.agent.shell.checkout.remote_refs import Target
    from cicd_core.agent.shell.checkout.settings import CheckoutSettings, Wanted
    from cicd_core.agent.shell.checkout.sources import Source
    from cicd_core.agent.shell.checkout.tree_facts import TreeFacts
    from cicd_core.agent.shell.command import Followed
    from cicd_core.agent.shell.workspace import Workspace
    from cicd_core.model.git import GitContext

#: Maximum number of submodules in one checkout, including nested ones.
_MOST_SUBMODULES: Final = 256


@frozen(kw_only=True)
class CheckoutContext:
    """The agent and the job of one checkout."""

    settings: CheckoutSettings
    cache: MirrorCache
    workspace: Workspace
    #: The agent's environment.
    environ: Mapping[str, str]
    #: Seconds between SIGTERM and SIGKILL when a git command is stopped.
    kill_after: float
    #: Tells by when a git command must have ended.
    followed: Followed


@frozen
class CheckedOut:
    """The result of a checkout."""

    commit: str
    #: The full name of the ref that named the commit; None for HEAD, and for a commit id.
    ref: str | None
    #: Number of submodules.
    submodules: int


async def check_out(git: GitContext, context: CheckoutContext) -> CheckedOut:
    """Fill the tree of the workspace with the sources that a job requests.

    Raises:
        CheckoutFailed: the checkout is not possible; the message has no credentials.
        SetupFailed: this machine can't start any process.
        InvalidInput: the cache folder does not belong to the agent's user.
        OSError: a file can't be written.
    """
    try:
        return await _check_out(git, context)
    except CheckoutFailed as failed:
        raise failed.of(git) from failed


async def _check_out(git: GitContext, context: CheckoutContext) -> CheckedOut:
    wanted = context.settings.applied(git)
    if wanted.lfs and shutil.which("git-lfs", path=context.environ.get("PATH")) is None:
        raise CheckoutFailed("the job needs Git LFS files, but this machine has no git-lfs")
    file = context.workspace.folder / "gitconfig"
    write = partial(write_configuration, lfs=wanted.lfs)
    await anyio.to_thread.run_sync(write, file, context.settings, context.environ)
    commands = GitCommands(
        folder=context.workspace.folder,
        environment=checkout_environment(context.environ, file, context.settings),
        settings=context.settings,
        kill_after=context.kill_after,
        followed=context.followed,
    )
    work = _Checkout(context, commands)
    tree = context.workspace.tree
    target, facts = await work.fill(wanted, tree)
    if not context.settings.outside_links:
        await anyio.to_thread.run_sync(check_links, tree, work.links)
    return CheckedOut(facts.commit, target.ref, work.submodules)


@define
class _Checkout:
    """The trees of one job."""

    context: CheckoutContext
    commands: GitCommands
    submodules: int = 0
    #: The size in bytes of the files in all trees so far.
    size: int = 0
    links: list[Path] = field(factory=list["Path"])

    async def fill(self, wanted: Wanted, tree: Path) -> tuple[Target, TreeFacts]:
        """Fill one tree, and the trees of its submodules."""
        source = await anyio.to_thread.run_sync(source_of, wanted.git.repo)
        trusted = self.context.settings.trusted_repositories
        await anyio.to_thread.run_sync(check_owner, source, trusted)
        target = await resolve(self.commands, source, wanted.git)
        try:
            target, facts = await self._clone(source, wanted, target, tree)
        except MirrorDamaged:
            await anyio.to_thread.run_sync(_empty, tree)
            try:
                target, facts = await self._clone(source, wanted, target, tree)
            except MirrorDamaged as damaged:
                raise CheckoutFailed(f"a new mirror is damaged too: {damaged}") from damaged
        self.links += [tree / link for link in facts.links]
        if wanted.submodules is not Submodules.OFF:
            await self._fill_submodules(source, wanted, tree, facts)
        return target, facts

    async def _clone(
        self, source: Source, wanted: Wanted, target: Target, tree: Path
    ) -> tuple[Target, TreeFacts]:
        """Borrow a mirror, fetch the target into it, and create the clone.

        Raises:
            MirrorDamaged: the mirror is damaged; no other job will borrow it.
        """
        oid = target.oid
        make = partial(make_mirror, source=source, wanted=wanted, oid=oid)
        mirror = await self.context.cache.borrow(mirror_key(source, wanted, oid), make)
        self.context.workspace.keep(mirror.lock)
        fetch = MirrorFetch(
            commands=self.commands,
            cache=self.context.cache,
            mirror=mirror,
            source=source,
            wanted=wanted,
        )
        try:
            target = await fetch.bring(target)
            try:
                facts = await fetch.facts(target)
                clone = PrivateClone(
                    tree=tree,
                    source=source,
                    wanted=wanted,
                    mirror=mirror,
                    target=target,
                    facts=facts,
                    before=self.size,
                )
                size = await clone.fill(self.commands, self.context.settings)
            except GitFailed as failed:
                if await fetch.is_whole(target.oid):
                    raise
                raise MirrorDamaged(str(failed)) from failed
        except MirrorDamaged:
            mirror.mark_damaged()
            raise
        self.size += size
        return target, facts

    async def _fill_submodules(
        self, source: Source, wanted: Wanted, tree: Path, facts: TreeFacts
    ) -> None:
        modules = await submodules_of(self.commands, tree, source, facts)
        self.submodules += len(modules)
        if self.submodules > _MOST_SUBMODULES:
            raise CheckoutFailed(f"there are more than {_MOST_SUBMODULES} submodules")
        for module in modules:
            git = evolve(
                wanted.git, repo=module.address, ref=None, commit_sha=module.commit, sparse_paths=()
            )
            try:
                await self.fill(wanted.for_submodule(git), tree / module.path)
            except CheckoutFailed as failed:
                raise CheckoutFailed(f"the submodule {module.path!r}: {failed}") from failed
        await anyio.to_thread.run_sync(note_submodules, tree, modules)


def _empty(tree: Path) -> None:
    """Remove the files that a failed checkout left in its tree."""
    if os.path.lexists(tree):
        shutil.rmtree(tree)
