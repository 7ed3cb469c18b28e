"""A job's private clone: a repository of its own that borrows the objects of a mirror."""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from cicd_core.agent.shell.checkout.configuration import LFS_FILTER, quoted
from cicd_core.agent.shell.checkout.failures import CheckoutFailed, GitTooLarge
from cicd_core.agent.shell.checkout.mirror import object_format, write_skeleton
from cicd_core.model.git import ObjectFilter
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cicd_core.agent.shell.checkout.git_commands import GitCommands
    from cicd_core.agent.shell.checkout.mirror_cache import Mirror
    from cicd_core.agent.shell.checkout.remote_refs import Target
    from cicd_core.agent.shell.checkout.settings import CheckoutSettings, Wanted
    from cicd_core.agent.shell.checkout.sources import Source
    from cicd_core.agent.shell.checkout.tree_facts import TreeFacts

#: Overrides every other source of attributes: no filter runs.
_NO_FILTERS: Final = "* -filter\n"


@frozen(kw_only=True)
class PrivateClone:
    """One tree with its repository, made for one job."""

    #: The folder of the files; its ``.git`` is the repository.
    tree: Path
    source: Source
    wanted: Wanted
    mirror: Mirror
    target: Target
    facts: TreeFacts
    #: The size in bytes of the trees that exist already: the parent's, and other submodules'.
    before: int

    async def fill(self, commands: GitCommands, settings: CheckoutSettings) -> int:
        """Create the repository, check out the target's commit, and verify both.

        Returns:
            The size of the tree's files in bytes.

        Raises:
            CheckoutFailed: the tree differs from the request, or is not allowed.
            GitFailed: git failed.
            OSError: a file can't be written.
        """
        if self._known_size is not None:
            self._check_size(self._known_size, settings)
        await anyio.to_thread.run_sync(self._make)
        extra = self._environment()
        commit = self.facts.commit
        git = partial(commands.run, at=self.tree, extra=extra)
        await git("checkout", "--quiet", "--force", "--detach", commit)
        found = (await git("rev-parse", "--verify", "HEAD^{commit}")).strip()
        asked = self.target.oid if self.target.pinned else commit
        if found != asked:
            raise CheckoutFailed(f"commit {asked} was requested, but {found} is checked out")
        return await anyio.to_thread.run_sync(self._check, settings)

    @property
    def _known_size(self) -> int | None:
        """Return the size of the files in bytes, if it is known before the checkout."""
        return None if self.wanted.lfs else self.facts.size(self.wanted.sparse_paths)

    @property
    def _repository(self) -> Path:
        return self.tree / ".git"

    def _make(self) -> None:
        if self.tree.exists():  # the empty folder of a submodule
            self.tree.rmdir()
        self.tree.mkdir(parents=True)
        repository = self._repository
        # During the checkout, LFS downloads go to the mirror, so that other jobs can use them.
        storage = f"[lfs]\n    storage = {quoted(str(self.mirror.folder / 'lfs'))}\n"
        write_skeleton(repository, self._configuration() + (storage if self.wanted.lfs else ""))
        borrowed = self.mirror.folder / "objects"
        _write(repository / "objects" / "info" / "alternates", f"{borrowed}\n")
        shallow = self.mirror.folder / "shallow"
        if shallow.exists():
            shutil.copyfile(shallow, repository / "shallow")
        if self.target.ref is not None and not self.target.pinned:
            _write(repository / "packed-refs", self._packed_refs(self.target.ref))
        if self.wanted.sparse_paths:
            _write(
                repository / "info" / "sparse-checkout", sparse_patterns(self.wanted.sparse_paths)
            )
        if not self.wanted.lfs:
            _write(repository / "info" / "attributes", _NO_FILTERS)

    def _configuration(self) -> str:
        promised = self.wanted.filter is ObjectFilter.BLOBS
        extensions = object_format(self.facts.commit)
        extensions += "    partialClone = origin\n" if promised else ""
        sparse = "    sparseCheckout = true\n    sparseCheckoutCone = true\n"
        promisor = "    promisor = true\n    partialclonefilter = blob:none\n"
        return (
            f"[core]\n    repositoryformatversion = {1 if extensions else 0}\n"
            "    bare = false\n    filemode = true\n    logallrefupdates = true\n"
            + (sparse if self.wanted.sparse_paths else "")
            + (f"[extensions]\n{extensions}" if extensions else "")
            + f'[remote "origin"]\n    url = {quoted(self.wanted.git.repo)}\n'
            + "    fetch = +refs/heads/*:refs/remotes/origin/*\n"
            + (promisor if promised else "")
            + (LFS_FILTER if self.wanted.lfs else "")
        )

    def _packed_refs(self, ref: str) -> str:
        """Return the only ref of the clone: the one that was requested."""
        branch = ref.removeprefix("refs/heads/")
        name = ref if branch == ref else f"refs/remotes/origin/{branch}"
        peeled = "" if self.target.oid == self.facts.commit else f"^{self.facts.commit}\n"
        return f"# pack-refs with: peeled fully-peeled sorted \n{self.target.oid} {name}\n{peeled}"

    def _environment(self) -> dict[str, str]:
        # No GIT_DIR: Git LFS would pass it to git in the repository that it copies from.
        return {
            "GIT_CEILING_DIRECTORIES": str(self.tree.parent),
            "GIT_ALLOW_PROTOCOL": self.source.protocols,
        }

    def _check(self, settings: CheckoutSettings) -> int:
        """Check the resulting tree; return the size of its files in bytes."""
        (self._repository / "info" / "attributes").unlink(missing_ok=True)
        if self.wanted.lfs:
            _write(self._repository / "config", self._configuration())
        size = self._known_size
        if size is None:
            size = _size_below(self.tree)
            self._check_size(size, settings)
        for folder in self.wanted.sparse_paths:
            if not (self.tree / folder).is_dir():
                raise CheckoutFailed(f"git.sparse_paths: the commit has no folder {folder!r}")
        return size

    def _check_size(self, size: int, settings: CheckoutSettings) -> None:
        total, limit = self.before + size, settings.max_bytes
        if total > limit:
            with_others = " with those of the trees before" if self.before else ""
            raise GitTooLarge(
                f"its files take {total} bytes{with_others}, over the limit of {limit} bytes"
            )


def sparse_patterns(folders: Iterable[str]) -> str:
    """Return the patterns of a sparse checkout of these folders, in git's cone form."""
    whole = set(folders)
    above = {"/".join(parts[:end]) for parts in map(_parts, whole) for end in range(1, len(parts))}
    lines = ["/*", "!/*/"]
    for folder in sorted(above | whole):
        if any("/".join(_parts(folder)[:end]) in whole for end in range(1, len(_parts(folder)))):
            continue  # a parent folder is included as a whole
        lines.append(f"/{folder}/")
        if folder not in whole:
            lines.append(f"!/{folder}/*/")
    return "\n".join(lines) + "\n"


def _parts(folder: str) -> list[str]:
    return folder.split("/")


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="surrogateescape")


def _size_below(tree: Path) -> int:
    """Return the size in bytes of the files in a tree, without its repository."""
    total = 0
    for path, folders, names in os.walk(tree):
        if ".git" in folders:
            folders.remove(".git")
        total += sum(os.lstat(os.path.join(path, name)).st_size for name in names)  # noqa: PTH118 - os.walk gives strings
    return total
