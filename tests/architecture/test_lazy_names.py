"""What a package imports for type checkers, and what it imports when a name is used, are the same.

And an import costs what it uses: it is counted in modules.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = (
    "cicd_core",
    "cicd_core.store",
    "cicd_core.testing",
    "cicd_core_dynamodb",
    "cicd_core_redis",
)
#: What a program that only says its help, or imports an error, has no use for.
DEAR = ("anyio", "asyncio", "attrs", "cattrs", "aiosqlite", "redis", "aiobotocore", "msgspec")


def declared(package: str) -> dict[str, str]:
    """Return where a package imports its public names from, under ``TYPE_CHECKING``."""
    module = import_module(package)
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    found = {
        each.asname or each.name: f"{node.module}:{each.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
    return {name: found[name] for name in module.__all__}


@pytest.mark.parametrize("package", PACKAGES)
def test_each_name_is_what_a_type_checker_sees(package: str) -> None:
    module = import_module(package)
    for name, home in declared(package).items():
        where, _, original = home.partition(":")
        assert getattr(module, name) is getattr(import_module(where), original), name
    assert set(vars(module)["_HOMES"]) == set(module.__all__)
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_name_that_there_is_not_is_an_attribute_error(package: str) -> None:
    module = import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Typo'"):
        module.Typo  # noqa: B018 - to look is the test


def imported(*arguments: str) -> set[str]:
    """Return the modules that a program has imported when it ends."""
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
        + arguments[0]
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments[1:]], capture_output=True, text=True, check=False
    )
    return set(done.stderr.split())


def test_to_import_the_library_imports_nothing_dear() -> None:
    assert imported("import cicd_core").isdisjoint(DEAR)
    assert imported("from cicd_core import NotFound").isdisjoint(DEAR)


def test_help_imports_no_store_and_no_service() -> None:
    found = imported("from cicd_core.cli.main import main; main()", "--help")
    assert "typer" in found
    assert found.isdisjoint({"cattrs", "aiosqlite", "redis", "aiobotocore"})
    assert not {name for name in found if name.startswith("cicd_core.control_plane")}
    assert found.isdisjoint({"cicd_core.entities", "cicd_core_dynamodb.store"})
