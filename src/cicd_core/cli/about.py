"""``stores`` and ``version``: this installation, and the stores that it can open."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from cicd_core.cli.options import JsonOption

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def version(*, as_json: JsonOption = False) -> None:
    """Show the versions of cicd-core, Python and SQLite."""
    import sqlite3
    from importlib.metadata import version as version_of

    from cicd_core.cli.exits import reporting
    from cicd_core.cli.output import emit

    found = {
        "cicd-core": version_of("cicd-core"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    with reporting(as_json=as_json):
        if as_json:
            emit(found)
        else:
            print(", ".join(f"{name} {number}" for name, number in found.items()))


def stores(*, as_json: JsonOption = False) -> None:
    """List the kinds of stores that can be opened."""
    from importlib.metadata import entry_points

    from cicd_core.cli.exits import reporting
    from cicd_core.cli.output import emit
    from cicd_core.store.registry import GROUP

    by_scheme = {each.name: _described(each) for each in entry_points(group=GROUP)}
    found = [by_scheme[scheme] for scheme in sorted(by_scheme)]
    with reporting(as_json=as_json):
        if as_json:
            emit({"items": found})
            return
        rows = [(f"{each['scheme']}://", f"{each['package']}") for each in found]
        address, package = (max(map(len, column)) for column in zip(*rows, strict=True))
        for (scheme, owner), each in zip(rows, found, strict=True):
            print(f"{scheme:<{address}}  {owner:<{package}}  {each['problem'] or 'ready'}")


def _described(entry_point: EntryPoint) -> dict[str, str | None]:
    package = entry_point.dist.name if entry_point.dist else entry_point.module
    return {
        "scheme": entry_point.name,
        "package": package,
        "factory": entry_point.value,
        "problem": _problem(entry_point),
    }


def _problem(entry_point: EntryPoint) -> str | None:
    """Return why a store cannot be opened here; this does not depend on its address."""
    from cicd_core.entities import COLLECTIONS
    from cicd_core.errors import CicdError
    from cicd_core.store.registry import open_store

    try:
        open_store(f"{entry_point.name}://", collections=COLLECTIONS)
    except CicdError as refused:
        return str(refused)
    return None
