"""The tree keeps its promises: small files, telling names, documented public names."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import cicd_core

SRC = Path(__file__).parents[2] / "src"
PACKAGES = ("cicd_core", "cicd_core_redis", "cicd_core_dynamodb")
FILES = sorted(path for path in SRC.rglob("*") if path.suffix in {".py", ".lua"})
MAX_LINES = 400
SAYS_NOTHING = {"base", "common", "helpers", "manager", "misc", "shared", "utils"}

#: A clock that all processes of a machine share: that is what it is.
SAYS_ENOUGH = {"shared_clock"}


def name_of(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


def isort_style(name: str) -> tuple[int, str]:
    """The order that ruff's RUF022 gives: constants, classes, the rest."""
    if name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name


def public_imports() -> set[str]:
    """The names that `cicd_core/__init__.py` binds for its users."""
    tree = ast.parse((SRC / "cicd_core" / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if (node.module or "").startswith("cicd_core")]
    names = {alias.asname or alias.name for node in ours for alias in node.names}
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_source_file_is_longer_than_the_limit(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name_of(path)} has {lines} lines: split it by what it is about"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_each_source_file_says_by_its_name_what_is_inside(path: Path) -> None:
    words = {
        word for part in path.relative_to(SRC).with_suffix("").parts for word in part.split("_")
    }
    assert not words & SAYS_NOTHING or path.stem in SAYS_ENOUGH


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert (SRC / package / "py.typed").is_file()


def test_the_public_names_are_sorted() -> None:
    assert cicd_core.__all__ == sorted(cicd_core.__all__, key=isort_style)


def test_every_re_export_is_a_public_name() -> None:
    assert public_imports() <= set(cicd_core.__all__)


def test_every_public_name_exists() -> None:
    assert [name for name in cicd_core.__all__ if not hasattr(cicd_core, name)] == []


@pytest.mark.parametrize("name", cicd_core.__all__)
def test_every_public_class_and_function_has_a_docstring_of_its_own(name: str) -> None:
    thing = getattr(cicd_core, name)
    if inspect.isclass(thing):
        assert vars(thing).get("__doc__"), f"{name} has no docstring"
        bare = [key for key, value in vars(thing).items() if is_bare(key, value)]
        assert not bare, f"{name}: no docstring on {bare}"
    elif inspect.isroutine(thing):
        assert thing.__doc__, f"{name} has no docstring"


def is_bare(key: str, member: object) -> bool:
    """Whether a member of a class is public, callable or a property, and has no docstring."""
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    documentable = inspect.isfunction(member) or isinstance(member, property)
    return documentable and not key.startswith("_") and not member.__doc__
