"""Makes the tables of public names: a page lists names, a build adds links and descriptions.

A page has fences of this form, in the order that a user needs::

    ```{public} cicd_core
    ControlPlane
    Settings
    ```

Each becomes a table: a link to the full description, and the first sentence of the docstring.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any, Final

FENCE: Final = re.compile(r"^```\{public\} ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROLE: Final = re.compile(r":\w+(?::\w+)?:`~?(?:[^`<]*<)?([^`>]+)>?`")


def listed_names(page: str) -> list[tuple[str, str]]:
    """Return each module and name that the fences of a page list."""
    return [(module, name) for module, text in FENCE.findall(page) for name in text.split()]


def with_tables(page: str) -> str:
    """Return the Markdown of a page with tables in the place of its fences."""
    return FENCE.sub(_table, page)


def first_sentence(value: Any) -> str:
    """Return the first sentence of a docstring as Markdown on one line."""
    doc = inspect.getdoc(value) or ""
    sentence = re.split(r"(?<=[.:])\s", " ".join(doc.partition("\n\n")[0].split()), maxsplit=1)[0]
    plain = _ROLE.sub(r"`\1`", sentence).replace("``", "`").replace("|", r"\|")
    return plain.rstrip(":.") + "." if plain else ""


def _table(fence: re.Match[str]) -> str:
    module = importlib.import_module(fence[1])
    rows = [f"| {_linked(module, name)} |" for name in fence[2].split()]
    return "\n".join(["| name | description |", "|---|---|", *rows])


def _linked(module: Any, name: str) -> str:
    value = getattr(module, name)
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return f"`{name}` | a value of the type `{type(value).__name__}`"
    return f"{{py:obj}}`{name} <{value.__module__}.{value.__qualname__}>` | {first_sentence(value)}"
