"""The submodules of a tree: their addresses, checked before anything is fetched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cicd_core.agent.shell.checkout.configuration import quoted
from cicd_core.agent.shell.checkout.failures import CheckoutFailed
from cicd_core.agent.shell.checkout.sources import submodule_address
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cicd_core.agent.shell.checkout.git_commands import GitCommands
    from cicd_core.agent.shell.checkout.sources import Source
    from cicd_core.agent.shell.checkout.tree_facts import TreeFacts

_KEY: Final = re.compile(r"submodule\.(.+)\.([a-z]+)", re.DOTALL)


@frozen(kw_only=True)
class Submodule:
    """One submodule of a tree."""

    name: str
    #: The path below the parent's tree.
    path: str
    commit: str
    #: The address for git.
    address: str


async def submodules_of(
    commands: GitCommands, tree: Path, source: Source, facts: TreeFacts
) -> list[Submodule]:
    """Return the submodules of a checked-out tree, without those outside a sparse checkout.

    Raises:
        CheckoutFailed: a submodule has no address, an address that git must not use, or a path
            that leads out of the tree.
    """
    if not facts.modules:
        return []
    named = await _read_modules(commands, tree)
    by_path = {fields["path"]: (name, fields) for name, fields in named.items() if "path" in fields}
    for path in by_path:
        _check_path(path)
    found: list[Submodule] = []
    for path, commit in facts.modules:
        place = tree / path
        if place.is_symlink() or not place.is_dir():
            continue
        name, fields = by_path.get(path, ("", {}))
        if "url" not in fields:
            raise CheckoutFailed(f"the submodule {path!r} has no URL in .gitmodules")
        address = submodule_address(source, fields["url"], path)
        found.append(Submodule(name=name, path=path, commit=commit, address=address))
    return found


def note_submodules(tree: Path, modules: Iterable[Submodule]) -> None:
    """Record the submodules in the parent's repository, as ``git submodule`` does."""
    text = "".join(
        f"[submodule {quoted(part.name)}]\n    active = true\n    url = {quoted(part.address)}\n"
        for part in modules
    )
    with (tree / ".git" / "config").open("a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


async def _read_modules(commands: GitCommands, tree: Path) -> dict[str, dict[str, str]]:
    """Return the sections of ``.gitmodules`` by their names."""
    file = tree / ".gitmodules"
    if file.is_symlink():
        raise CheckoutFailed(".gitmodules is a symbolic link")
    if not file.is_file():
        return {}
    listed = await commands.run("config", "--file", str(file), "--no-includes", "--list", "-z")
    named: dict[str, dict[str, str]] = {}
    for entry in listed.split("\0"):
        key, _, value = entry.partition("\n")
        match = _KEY.fullmatch(key)
        if match is not None:
            named.setdefault(match[1], {})[match[2]] = value
    return named


def _check_path(path: str) -> None:
    parts = path.split("/")
    if any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
        raise CheckoutFailed(f"the submodule path {path!r} leads out of the checkout")
