"""Fetches into a mirror: single commits with their histories, by exact names."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from cicd_core.agent.shell.checkout.configuration import quoted
from cicd_core.agent.shell.checkout.failures import CheckoutFailed, GitFailed
from cicd_core.agent.shell.checkout.mirror_cache import remove_leftovers
from cicd_core.agent.shell.checkout.remote_refs import candidates
from cicd_core.agent.shell.checkout.tree_facts import facts_of, read_facts, write_facts
from cicd_core.model.git import ObjectFilter
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cicd_core.agent.shell.checkout.git_commands import GitCommands
    from cicd_core.agent.shell.checkout.mirror_cache import Mirror, MirrorCache
    from cicd_core.agent.shell.checkout.remote_refs import Target
    from cicd_core.agent.shell.checkout.settings import Wanted
    from cicd_core.agent.shell.checkout.sources import Source
    from cicd_core.agent.shell.checkout.tree_facts import TreeFacts

#: Number of digits of a commit id in a repository with SHA-256.
_SHA256_DIGITS: Final = 64
#: How many recently fetched commits a mirror keeps pinned and offers to a server when it fetches.
_PINS: Final = 500
#: Number of packs at which a mirror joins them.
MOST_PACKS: Final = 50
#: No attribute of a commit may change how a file is read (see :meth:`MirrorFetch.is_whole`).
_WHOLE: Final = "* -text -ident -filter -export-ignore -export-subst\n"
_FETCH: Final = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-shallow")


class MirrorDamaged(Exception):
    """A mirror lacks objects, or can't be read; a new one will be created."""


def mirror_key(source: Source, wanted: Wanted, oid: str) -> str:
    """Return the key of the mirror that a request uses.

    A shallow history has a mirror of its own per commit and depth: its boundary depends on both.
    """
    parts = [source.address, wanted.filter.value, str(len(oid))]
    if wanted.depth:
        parts += [str(wanted.depth), oid]
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def make_mirror(folder: Path, source: Source, wanted: Wanted, oid: str) -> None:
    """Fill an empty folder with a bare, empty repository."""
    configuration = _configuration(source, wanted, oid)
    write_skeleton(folder, configuration)
    _write_files(folder, _mirror_files(configuration))


def restore_mirror(folder: Path, source: Source, wanted: Wanted, oid: str) -> None:
    """Rewrite the configuration of a mirror if a power failure, or a job, has changed it.

    Raises:
        OSError: a file can't be written.
    """
    for name, text in _mirror_files(_configuration(source, wanted, oid)).items():
        file = folder / name
        try:
            if file.read_text(encoding="utf-8", errors="surrogateescape") == text:
                continue
        except OSError:
            pass  # the file is rewritten below
        file.write_text(text, encoding="utf-8", errors="surrogateescape")


def _configuration(source: Source, wanted: Wanted, oid: str) -> str:
    partial = wanted.filter is ObjectFilter.BLOBS
    extensions = object_format(oid) + ("    partialClone = origin\n" if partial else "")
    promisor = "    promisor = true\n    partialclonefilter = blob:none\n" if partial else ""
    return (
        f"[core]\n    repositoryformatversion = {1 if extensions else 0}\n    bare = true\n"
        + (f"[extensions]\n{extensions}" if extensions else "")
        + f'[remote "origin"]\n    url = {quoted(source.address)}\n{promisor}'
    )


def write_skeleton(folder: Path, configuration: str) -> None:
    """Create the minimum that git accepts as a repository: no templates, no hooks."""
    for name in ("objects/info", "objects/pack", "refs", "info"):
        (folder / name).mkdir(parents=True)
    _write_files(folder, _own_files(configuration))


def _write_files(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="surrogateescape")


def _own_files(configuration: str) -> dict[str, str]:
    """Return the files of a repository that this module writes, not git."""
    return {"config": configuration, "HEAD": "ref: refs/heads/none\n"}


def _mirror_files(configuration: str) -> dict[str, str]:
    """Return the files of a mirror that this module writes, not git."""
    return {**_own_files(configuration), "info/attributes": _WHOLE}


def object_format(oid: str) -> str:
    """Return the configuration line for the hash of a repository; empty for SHA-1."""
    return "    objectFormat = sha256\n" if len(oid) == _SHA256_DIGITS else ""


@frozen(kw_only=True)
class MirrorFetch:
    """Fetches the objects of one checkout into its mirror."""

    commands: GitCommands
    cache: MirrorCache
    mirror: Mirror
    source: Source
    wanted: Wanted

    async def bring(self, target: Target) -> Target:
        """Fetch the target's object, and all that it needs, into the mirror.

        Returns:
            The target. It has another object if its ref has moved since, and the server serves only
            the objects that refs name.

        Raises:
            CheckoutFailed: the repository does not have the object, or git failed.
            MirrorDamaged: the mirror is the cause.
        """
        if self._has(target.oid):
            return target
        async with self.cache.writing(self.mirror.key):
            if self._has(target.oid):
                return target
            await anyio.to_thread.run_sync(self._make_ready, target)
            try:
                brought = await self._fetch(target)
            except GitFailed:
                await self._blame()
                raise
            await anyio.to_thread.run_sync(self._forget_old_pins)
            await self._join_packs()
        await anyio.to_thread.run_sync(self.cache.trim)
        return brought

    async def facts(self, target: Target) -> TreeFacts:
        """Return the facts of the target's tree.

        Raises:
            GitFailed: the object is neither a commit nor a tag of one.
        """
        file = self.mirror.folder / "trees" / target.oid
        known = await anyio.to_thread.run_sync(read_facts, file)
        if known is None:
            known = await self._look(target.oid)
            await anyio.to_thread.run_sync(write_facts, file, known)
        return known

    async def is_whole(self, oid: str) -> bool:
        """Return whether the mirror has all files of a commit, and can read them."""
        try:
            if self._partial:
                await self._git("rev-list", "--quiet", "--objects", "-n", "1", oid)
            else:
                await self._git("archive", "--format=tar", "--output=/dev/null", oid)
        except CheckoutFailed:
            return False
        return True

    def _make_ready(self, target: Target) -> None:
        """Remove leftovers of killed commands, and restore the files that no command writes."""
        folder = self.mirror.folder
        remove_leftovers(folder)
        with suppress(FileNotFoundError):  # the mirror is missing: git will report it
            restore_mirror(folder, self.source, self.wanted, target.oid)

    @property
    def _partial(self) -> bool:
        return self.wanted.filter is ObjectFilter.BLOBS

    def _has(self, oid: str) -> bool:
        """Return whether a fetch of that object was completed here.

        The result is False for a history that the server cut: it may have grown there since.
        """
        if self._is_cut:
            return False
        try:
            pin = (self.mirror.folder / "refs" / "pins" / oid).read_text(encoding="ascii")
        except (OSError, ValueError):
            return False
        return pin.strip() == oid

    @property
    def _is_cut(self) -> bool:
        """Return whether the server cut a history that the job wants in full."""
        return not self.wanted.depth and (self.mirror.folder / "shallow").exists()

    async def _fetch(self, target: Target) -> Target:
        depth = (f"--depth={self.wanted.depth}",) if self.wanted.depth else ()
        if self._is_cut:
            depth = ("--unshallow",)
        try:
            await self._git(*_FETCH, *depth, "origin", f"+{target.oid}:refs/pins/{target.oid}")
        except GitFailed as refused:
            # Not every server serves an object that no ref names.
            if not target.pinned and target.ref is None:
                return await self._fetch_ref(target, "HEAD", depth)
            if not target.pinned:
                return await self._fetch_ref(target, str(target.ref), depth)
            await self._fetch_all(target, refused)
        return target

    async def _fetch_ref(self, target: Target, name: str, depth: tuple[str, ...]) -> Target:
        """Fetch the commit that a ref names now."""
        await self._git(*_FETCH, *depth, "origin", f"+{name}:refs/fetched/one")
        oid = (await self._git("rev-parse", "--verify", "refs/fetched/one")).strip()
        await self._git("update-ref", f"refs/pins/{oid}", oid)
        return evolve(target, oid=oid)

    async def _fetch_all(self, target: Target, refused: GitFailed) -> None:
        """Fetch every ref that may contain the commit that the job names."""
        names = ["refs/heads/*", "refs/tags/*"]
        specs = [f"+{name}:refs/fetched/all/{name.removeprefix('refs/')}" for name in names]
        if target.ref is not None and candidates(target.ref)[1:] == ():
            # One name for all of them: refs/pull/7 and refs/pull/7/head can't coexist.
            names, specs = [target.ref], [f"+{target.ref}:refs/fetched/one"]
        await self._git(*_FETCH, "--prune", "origin", *specs)
        try:
            await self._git("cat-file", "-e", target.oid)
        except GitFailed:
            places = " and ".join(names)
            raise CheckoutFailed(
                f"the repository has no commit {target.oid} below {places}, and does not serve it "
                f"by its id ({refused.said})"
            ) from None
        await self._cut(target)
        await self._git("update-ref", f"refs/pins/{target.oid}", target.oid)

    async def _cut(self, target: Target) -> None:
        """Shorten a complete history to the job's depth: git fetches it from the mirror itself."""
        if self.wanted.depth:
            folder, depth = str(self.mirror.folder), f"--depth={self.wanted.depth}"
            extra = {"GIT_DIR": folder, "GIT_ALLOW_PROTOCOL": "file"}
            await self.commands.run(*_FETCH, depth, folder, target.oid, extra=extra)

    async def _blame(self) -> None:
        """After a failed fetch, find out whether the mirror is the cause.

        Raises:
            MirrorDamaged: the mirror is the cause.
        """
        try:
            extra = {"GIT_ALLOW_PROTOCOL": self.source.protocols}
            await self.commands.run("ls-remote", "--", self.source.address, "HEAD", extra=extra)
        except CheckoutFailed:
            return  # the repository itself does not answer
        try:
            await self._git("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        except GitFailed as broken:
            raise MirrorDamaged(str(broken)) from None

    async def _look(self, oid: str) -> TreeFacts:
        """Read a commit's tree."""
        commit = await self._commit_of(oid)
        sizes = () if self._partial else ("-l",)
        listed = await self._git("ls-tree", "-r", *sizes, "-z", "--full-tree", commit)
        return facts_of(commit, listed, measured=not self._partial)

    async def _commit_of(self, oid: str) -> str:
        try:
            return (await self._git("rev-parse", "--verify", f"{oid}^{{commit}}")).strip()
        except GitFailed:
            kind = (await self._git("cat-file", "-t", oid)).strip()
            if kind == "commit":
                raise
            raise CheckoutFailed(f"{oid} is a {kind} that does not lead to a commit") from None

    async def _git(self, *args: str) -> str:
        folder = self.mirror.folder
        extra = {"GIT_DIR": str(folder), "GIT_ALLOW_PROTOCOL": self.source.protocols}
        return await self.commands.run(*args, extra=extra)

    async def _join_packs(self) -> None:
        """Join small packs if there are many: each fetch adds one, and git searches all of them.

        All objects stay, even those that no ref names; running git commands read the joined pack.
        """
        packs = await anyio.to_thread.run_sync(self._count_packs)
        if packs > MOST_PACKS and not self._partial:
            with suppress(CheckoutFailed):  # a later fetch tries again
                await self._git("repack", "--quiet", "-d", "-n", "--geometric=2")

    def _count_packs(self) -> int:
        return len(list((self.mirror.folder / "objects" / "pack").glob("*.pack")))

    def _forget_old_pins(self) -> None:
        """Remove the pins of the oldest fetched commits; their objects stay."""
        pins = list((self.mirror.folder / "refs" / "pins").iterdir())
        if len(pins) > _PINS:
            pins.sort(key=lambda pin: pin.stat().st_mtime)
            for pin in pins[: -_PINS // 2]:
                pin.unlink()
