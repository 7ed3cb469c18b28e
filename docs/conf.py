"""Sphinx configuration. The build needs no network: no inventories, no scripts from elsewhere."""

from __future__ import annotations

import ast
import pydoc
import re
import sys
from functools import cache
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.addnodes import pending_xref
from sphinx.ext import napoleon
from sphinx.ext.napoleon.docstring import GoogleDocstring

sys.path.insert(0, str(Path(__file__).parent))
from diagrams import with_pictures
from public_names import with_tables

if TYPE_CHECKING:
    from docutils.nodes import Element, document
    from sphinx.application import Sphinx

project = "cicd-core"
author = "The cicd-core authors"
project_copyright = "The cicd-core authors, Apache-2.0"
release = version_of("cicd-core")
version = release

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "diagrams"]
nitpicky = True
# Without their inventories the names of other projects cannot be resolved; ours must be.
nitpick_ignore_regex = [(r"py:.*", r"(?!cicd_core\b).*")]

html_theme = "furo"
html_title = f"cicd-core {release}"

# Two hyphens begin an option; they are no dash.
smartquotes = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The reference of the API is written from the tree at each build, so it cannot forget a module.
apidoc_modules = [
    {
        "path": "../src/cicd_core",
        "destination": "reference/api",
        "max_depth": 1,
        "separate_modules": True,
        "module_first": True,
        "automodule_options": {"members", "show-inheritance"},
    }
]
# A name is described where it is defined, not where it is exported again.
autodoc_default_options = {"ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
#: What the methods of the store contract promise: a word, and what it means there.
PROMISE = re.compile(r"^(Atomicity|Clock|Concurrency|Cost|Order|Raises): (?=\S)")


def promises_as_fields(*event: Any) -> None:
    """Make a field of each promise in a docstring, so that they stand in a table.

    Further lines of a promise belong to its field, whether or not they are indented.
    """
    lines: list[str] = event[-1]
    result: list[str] = []
    within = False
    for line in lines:
        promise = PROMISE.match(line)
        if promise and result and result[-1] and not result[-1].startswith((":", " ")):
            result.append("")
        within = bool(promise or (within and line))
        indent = "    " if within and not promise and not line.startswith(" ") else ""
        result.append(indent + PROMISE.sub(r":\1: ", line))
    lines[:] = result


class WithoutTypes(GoogleDocstring):
    """A docstring whose attributes state no type: a colon in their first line is a colon.

    Napoleon takes the words before it for a type. Ours stand in annotations.
    """

    def _consume_inline_attribute(self) -> tuple[str, list[str]]:
        return "", GoogleDocstring(self._dedent(self._consume_to_end()), self._config).lines()


def no_class_as_text(
    _app: Sphinx, _env: object, node: pending_xref, text: Element
) -> Element | None:
    """Leave a type variable or an alias unlinked: it has no page, and needs none."""
    named = pydoc.locate(node.get("reftarget", ""))
    return None if named is None or isinstance(named, type) else text


@cache
def names_of(module: str) -> dict[str, str]:
    """Return what each short name in a module stands for, also those for type checkers alone."""
    names: dict[str, str] = {}
    spec = find_spec(module)
    source = Path(spec.origin) if spec and spec.origin else Path(__file__)
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.ClassDef):
            names[node.name] = f"{module}.{node.name}"
        elif isinstance(node, ast.Assign):
            bound = (each.id for each in node.targets if isinstance(each, ast.Name))
            names |= {name: f"{module}.{name}" for name in bound}
    return names


def home_of(name: str) -> str:
    """Return the name under which a class of ours is described: that of where it is defined."""
    found = pydoc.locate(name) if name.startswith("cicd_core") else None
    return f"{found.__module__}.{found.__qualname__}" if isinstance(found, type) else name


def whole_names(_app: Sphinx, doctree: document) -> None:
    """Lead a short name to what its module means by it, and a public name to where it stands."""
    for node in doctree.findall(pending_xref):
        module, target = node.get("py:module"), node.get("reftarget")
        if module and node.get("reftype") == "class":
            node["reftarget"] = home_of(names_of(module).get(target, target))


def apart(_app: Sphinx, page: str, text: list[str]) -> None:
    """Take the list of modules out of the table of contents, which a link leads to.

    The side bar of each page would name every module, and take most of the build's time.
    """
    if page == "reference/api/modules":
        text[0] = ":orphan:\n\n" + text[0]


def expand(_app: Sphinx, page: str, text: list[str]) -> None:
    """Put pictures in the place of Mermaid diagrams, and tables in the place of public names."""
    text[0] = with_tables(with_pictures(text[0], page.count("/")))


def setup(app: Sphinx) -> None:
    """Read our docstrings, and show the pictures of Mermaid diagrams, which `diagrams.py` draws."""
    # Before napoleon (500), which would take the lines for text.
    app.connect("autodoc-process-docstring", promises_as_fields, priority=400)
    napoleon.GoogleDocstring = WithoutTypes  # type: ignore[attr-defined] # it has no hook for this
    app.connect("source-read", apart)
    app.connect("source-read", expand)
    app.connect("doctree-read", whole_names)
    app.connect("missing-reference", no_class_as_text)
