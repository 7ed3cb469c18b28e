"""The facts of a commit's tree: known before a checkout, and stored beside its objects."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path, PurePosixPath
from tempfile import mkstemp
from typing import TYPE_CHECKING

from attrs import asdict

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@frozen(kw_only=True)
class TreeFacts:
    """The facts of a commit's tree, before it is checked out."""

    commit: str
    #: The size in bytes of the files in each of its folders, with an empty name for the root; None
    #: if not all files are available.
    sizes: Mapping[str, int] | None
    #: The paths of its symbolic links.
    links: tuple[str, ...]
    #: The paths of its submodules, and their commits.
    modules: tuple[tuple[str, str], ...]

    def size(self, folders: Sequence[str] = ()) -> int | None:
        """Return the size in bytes of the files of a checkout.

        Args:
            folders: the folders of a sparse checkout; empty: all.
        """
        if self.sizes is None:
            return None
        above = {
            "",
            *(str(parent) for folder in folders for parent in PurePosixPath(folder).parents),
        }
        below = tuple(f"{folder}/" for folder in folders)
        return sum(
            size
            for name, size in self.sizes.items()
            if not folders or name in above or f"{name}/".startswith(below)
        )


def facts_of(commit: str, listed: str, *, measured: bool) -> TreeFacts:
    """Return the facts of a commit's tree.

    Args:
        commit: the id of the commit.
        listed: its entries, as listed by ``git ls-tree -r -z``.
        measured: whether the list has the sizes of the files (``-l``).
    """
    entries = [_entry(line) for line in listed.split("\0") if line]
    return TreeFacts(
        commit=commit,
        sizes=_sizes(entries) if measured else None,
        links=tuple(entry.path for entry in entries if entry.mode == "120000"),
        modules=tuple((entry.path, entry.oid) for entry in entries if entry.mode == "160000"),
    )


@frozen
class _Entry:
    mode: str
    oid: str
    size: int
    path: str


def _sizes(entries: Iterable[_Entry]) -> dict[str, int]:
    """Return the size in bytes of the files in each folder."""
    sizes: dict[str, int] = {}
    for entry in entries:
        folder = entry.path.rpartition("/")[0]
        sizes[folder] = sizes.get(folder, 0) + entry.size
    return sizes


def _entry(line: str) -> _Entry:
    """Return an entry of ``ls-tree``, with or without its size."""
    facts, _, path = line.partition("\t")
    mode, _, oid, *size = facts.split()
    return _Entry(mode, oid, int(size[0]) if size and size[0].isdigit() else 0, path)


def read_facts(file: Path) -> TreeFacts | None:
    """Return the facts in a file; None if it is missing or incomplete."""
    try:
        raw = json.loads(file.read_text(encoding="ascii"))
        return TreeFacts(
            commit=raw["commit"],
            sizes=raw["sizes"],
            links=tuple(raw["links"]),
            modules=tuple((path, oid) for path, oid in raw["modules"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_facts(file: Path, facts: TreeFacts) -> None:
    """Store the facts for later checkouts; without the file, those read the tree again."""
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        descriptor, unfinished = mkstemp(suffix=".new", dir=file.parent)
        with os.fdopen(descriptor, "w", encoding="ascii") as output:
            json.dump(asdict(facts), output)
        Path(unfinished).replace(file)
