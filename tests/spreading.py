"""Which tests of a group of equal ones the short run takes: loops and stores are spread.

Many tests run on two event loops, and over two stores. The short run tries each of them once, and
which loop and store it gets depends on its name, so that each combination gets its share. The
session `thorough` tries the others.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The parameters that are spread.
SPREAD: Final = ("anyio_backend", "store_url")
#: Tried only where nothing else is: the loop is tried with the store in a file, the store on trio.
LAST_CHOICE: Final = {"anyio_backend": "asyncio", "store_url": "memory"}


def spread(items: Iterable[pytest.Item]) -> None:
    """Mark all but one test of each group as `thorough`."""
    groups = defaultdict[tuple[Any, ...], list[pytest.Item]](list)
    for item in items:
        params = _params(item)
        if not params.keys().isdisjoint(SPREAD):
            name = getattr(item, "originalname", item.name)
            groups[item.path, getattr(item, "cls", None), name, *_others(item)].append(item)
    for group in groups.values():
        chosen = _chosen(group)
        for item in group:
            if item is not chosen:
                item.add_marker(pytest.mark.thorough)


def _chosen(group: Sequence[pytest.Item]) -> pytest.Item:
    """Return the test of a group whose turn it is by its name."""
    wanted = [item for item in group if not _is_last_choice(item)] or group
    name = getattr(wanted[0], "originalname", wanted[0].name)
    return wanted[crc32(name.encode()) % len(wanted)]


def _is_last_choice(item: pytest.Item) -> bool:
    params = _params(item)
    return all(params.get(name) == value for name, value in LAST_CHOICE.items())


def _params(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return {} if callspec is None else callspec.params


def _others(item: pytest.Item) -> list[str]:
    """Return the parts of a test's id that are not those of its loop and its store."""
    params = _params(item)
    parts = str(getattr(item, "callspec").id).split("-")  # noqa: B009 - only some items have it
    for name in params.keys() & set(SPREAD):
        parts.remove(str(params[name]))
    return parts
