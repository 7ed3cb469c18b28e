"""Sphinx configuration. The build needs no network: no inventories, no scripts from elsewhere."""

from __future__ import annotations

import pydoc
import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any, TypeVar

from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx

project = "cicd-core"
author = "The cicd-core authors"
project_copyright = "The cicd-core authors, Apache-2.0"
release = version_of("cicd-core")
version = release

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = True
# Without their inventories the names of other projects cannot be resolved; ours must be.
nitpick_ignore_regex = [(r"py:.*", r"(?!cicd_core\b).*")]

html_theme = "furo"
html_title = f"cicd-core {release}"

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
    """Make a field of each promise in a docstring, so that they stand in a table."""
    lines: list[str] = event[-1]
    result: list[str] = []
    for line in lines:
        promise = PROMISE.match(line)
        if promise and result and result[-1] and not result[-1].startswith((":", " ")):
            result.append("")
        result.append(PROMISE.sub(r":\1: ", line))
    lines[:] = result


def type_variable_as_text(
    _app: Sphinx, _env: object, node: pending_xref, text: Element
) -> Element | None:
    """Leave a type variable unlinked: it has no page, and nothing that a page could say."""
    named = pydoc.locate(node.get("reftarget", ""))
    return text if isinstance(named, TypeVar) else None


def setup(app: Sphinx) -> None:
    """Read our docstrings, and show Mermaid diagrams as text (sites that host Markdown draw it)."""
    # Before napoleon (500), which would take the lines for text.
    app.connect("autodoc-process-docstring", promises_as_fields, priority=400)
    app.connect("missing-reference", type_variable_as_text)
    app.add_lexer("mermaid", TextLexer)
