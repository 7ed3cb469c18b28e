"""Copies of the stores that hold every mutant of their verbs, one of which runs at a time.

The copies are packages of their own, beside the real ones. So the library around them, and the
memory store that the machine compares with, stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from difflib import ndiff
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen
from mutmut.mutation.file_mutation import mutate_file_contents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mutmut.mutation.file_mutation import MutatedFile

#: The package that the copies are in.
PACKAGE: Final = "mutated_stores"
#: The modules of each store that implement its verbs.
MODULES: Final = {
    "memory": ("memory.log", "memory.rows", "memory.store", "semantics", "waiters"),
    "sqlite": (
        "sqlite.batch",
        "sqlite.decisions",
        "sqlite.log",
        "sqlite.reads",
        "sqlite.retention",
        "sqlite.tables",
        "sqlite.waiting",
        "sqlite.writing",
        "waiters",
    ),
}
#: The functions of modules that several stores use, and the store that judges them, if it is not
#: the first one that uses the module. None: only a store that is not judged here calls it.
_JUDGES: Final = {
    "waiters Waiters.announce": "sqlite",
    "waiters Waiters.claimed": "sqlite",
    "waiters Waiters.offer_to": None,
    "waiters Waiters.offer_what_is_there": "sqlite",
    "waiters Waiters._tidy": "sqlite",
}
_STORES: Final = Path(__file__).parents[2] / "src" / "cicd_core" / "store"
_COPIED: Final = re.compile(r"\bcicd_core\.store\.(memory|sqlite|semantics|waiters)\b")
#: Where mutmut ends the name of a function, and begins the number of its mutant.
_NUMBER: Final = "__mutmut_"


@frozen
class Mutant:
    """One fault in one function."""

    #: As mutmut names it: the module and, in it, the function with a number.
    name: str
    #: The lines of the function that differ, with ``-`` and ``+``.
    change: tuple[str, ...]

    @property
    def place(self) -> str:
        """Return the module and the function, such as ``sqlite.batch Batch.put``."""
        module, _, function = self.name.removeprefix(f"{PACKAGE}.").rpartition(".")
        parts = function.partition(_NUMBER)[0].removeprefix("x")
        return f"{module} {parts.strip('ǁ_').replace('ǁ', '.')}"

    @property
    def digest(self) -> str:
        """Return what stays the same while the change does, whatever its number is."""
        return hashlib.sha256(repr((self.place, self.change)).encode()).hexdigest()[:16]


def generate(folder: Path, store: str) -> list[Mutant]:
    """Write the copies below a folder, and return the mutants of one store."""
    package = folder / PACKAGE
    shutil.rmtree(package, ignore_errors=True)
    mutants: list[Mutant] = []
    shared = (_STORES / f"{module}.py" for module in ("semantics", "waiters"))
    for source in (*_STORES.glob("memory/*.py"), *_STORES.glob("sqlite/*.py"), *shared):
        relative = source.relative_to(_STORES)
        target = package / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        code = _COPIED.sub(rf"{PACKAGE}.\1", source.read_text(encoding="utf-8"))
        module = ".".join(relative.with_suffix("").parts)
        if module in MODULES[store]:
            mutated = mutate_file_contents(str(source), code)
            found = _mutants(f"{PACKAGE}.{module}", mutated)
            mutants += (mutant for mutant in found if _judge_of(module, mutant) == store)
            code = mutated.code
        target.write_text(code, encoding="utf-8")
    return mutants


def _judge_of(module: str, mutant: Mutant) -> str | None:
    first = next(store for store, modules in MODULES.items() if module in modules)
    return _JUDGES.get(mutant.place, first)


def _mutants(module: str, mutated: MutatedFile) -> Iterator[Mutant]:
    lines = mutated.code.splitlines()

    def source_of(function: str) -> list[str]:
        span = mutated.line_span_by_function_name[function]
        return [line.replace(function, "") for line in lines[span.start - 1 : span.end]]

    for name in mutated.mutant_names:
        original = source_of(f"{name.partition(_NUMBER)[0]}{_NUMBER}orig")
        difference = ndiff(original, source_of(name), linejunk=None, charjunk=None)
        change = tuple(
            f"{line[0]} {line[2:].strip()}" for line in difference if line[0] in "+-" and line[2:]
        )
        yield Mutant(name=f"{module}.{name}", change=change)
