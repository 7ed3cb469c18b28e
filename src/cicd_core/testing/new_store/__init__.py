"""The package of a new store, written from a template: ``python -m …testing.new_store NAME``.

Its tests are the suite, the machine and the histories. At first they fail, since each verb raises
an error with its name. They pass as the verbs are written.
"""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput
from cicd_core.values import frozen

if TYPE_CHECKING:
    from pathlib import Path

#: A scheme of a URL that can also be a part of a module's name.
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@frozen
class Names:
    """The names in the package."""

    #: The scheme of its URLs, and the beginning of the package's name.
    name: str

    @property
    def package(self) -> str:
        """Its name for ``pip``."""
        return f"{self.name}-store"

    @property
    def module(self) -> str:
        """Its name for ``import``."""
        return self.package.replace("-", "_")

    @property
    def backend(self) -> str:
        """The class of the store's backend."""
        return "".join(word.capitalize() for word in (*self.name.split("-"), "backend"))

    @property
    def opener(self) -> str:
        """The function that the entry point names."""
        return f"open_{self.name.replace('-', '_')}"


def write_package(name: str, parent: Path) -> Path:
    """Write the package of a store into a new folder, and return that folder.

    Args:
        name: the scheme of its URLs, in lower case: ``acme`` makes ``acme-store``.
        parent: the parent of the new folder.

    Raises:
        InvalidInput: the name is not valid, or the folder exists already.
    """
    if not _NAME.fullmatch(name):
        reason = "give lower-case letters and digits, with hyphens between them, such as acme"
        raise InvalidInput("name", name, reason)
    names = Names(name)
    folder = parent / names.package
    if folder.exists():
        raise InvalidInput("folder", str(folder), "it exists already: choose another folder")
    folder.mkdir(parents=True)
    words = {item: getattr(names, item) for item in ("package", "module", "backend", "opener")}
    for source in sorted(files(__name__).joinpath("template").iterdir(), key=lambda one: one.name):
        text = Template(source.read_text(encoding="utf-8")).substitute(name=name, **words)
        target = source.name.removesuffix(".txt").replace("module", names.module)
        (folder / target).write_text(text, encoding="utf-8")
    return folder
