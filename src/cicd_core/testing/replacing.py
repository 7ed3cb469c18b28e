"""Replaces functions and classes in all modules that have them."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

#: Packages that measure or run the tests themselves.
_SPARED: Final = {"_pytest", "pytest", "hypothesis", "xdist", "execnet", "anyio", "trio", "asyncio"}
_OURS: Final = "cicd_core.testing"


@contextmanager
def replaced_everywhere(pairs: Iterable[tuple[object, object]]) -> Generator[None, None, None]:
    """Replace the first of each pair by the second, in every module that has it, under any name.

    The packages that run the tests keep the first.
    """
    places = list(_places({id(original): (original, value) for original, value in pairs}))
    for module, name, _, value in places:
        module[name] = value
    try:
        yield
    finally:
        for module, name, original, _ in places:
            module[name] = original


def _places(
    replacements: dict[int, tuple[object, object]],
) -> Iterator[tuple[dict[str, Any], str, object, object]]:
    for name, module in tuple(sys.modules.items()):
        if name.split(".", maxsplit=1)[0] in _SPARED or name.startswith(_OURS):
            continue
        own: dict[str, Any] = getattr(module, "__dict__", {})
        for item, value in tuple(own.items()):
            found = replacements.get(id(value))
            if found is not None and found[0] is value:
                yield own, item, *found
