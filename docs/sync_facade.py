"""Writes the services for synchronous callers from the asynchronous ones.

    python docs/sync_facade.py

writes the modules of ``src/cicd_core/sync/services`` again: the same names, parameters and
docstrings, with calls that wait for the answer. A test fails when they are not what this script
makes. Needs ruff, which formats them.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER: Final = Path(__file__).parents[1] / "src" / "cicd_core" / "sync" / "services"
#: The modules of services, and the class of each.
SERVICES: Final = {
    "agents": "AgentService",
    "dashboard": "DashboardService",
    "deployments": "DeploymentService",
    "events": "EventService",
    "jobs": "JobService",
    "keys": "KeyService",
    "maintenance": "MaintenanceService",
    "pools": "PoolService",
    "queue": "QueueService",
    "sessions": "SessionService",
}
#: Where those stand that are no modules of ``control_plane``.
HOMES: Final = {"keys": "cicd_core.keys.service"}
#: Runs for ever, and belongs to the control plane itself.
LEFT_OUT: Final = {("maintenance", "run")}
_HEAD: Final = '''\
"""{title} for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.sync.portal import Facade
'''


def home_of(module: str) -> str:
    """Return the name of the module that has the asynchronous service."""
    return HOMES.get(module, f"cicd_core.control_plane.{module}")


def rendered(module: str) -> str:
    """Return the source of a module of the facade, as Python writes it: not formatted."""
    source = import_module(home_of(module))
    tree = ast.parse(inspect.getsource(source))
    name = SERVICES[module]
    (service,) = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name
    ]
    methods = list(_methods(module, service))
    at_runtime = [_import(tree, found) for found in sorted(_defaults(methods))]
    at_runtime.append(f"from {source.__name__} import {name} as Service")
    typed = [_import_from(source.__name__, tree, found) for found in sorted(_annotations(methods))]
    body = ast.ClassDef(
        name=name,
        bases=[ast.parse("Facade[Service]", mode="eval").body],
        keywords=[],
        body=[_docstring(ast.get_docstring(service, clean=False) or ""), *methods],
        decorator_list=[],
    )
    text = ast.unparse(ast.fix_missing_locations(ast.Module(body=[body], type_ignores=[])))
    lines = "\n".join(f"    {line}" for line in typed if line and line not in at_runtime)
    head = _HEAD.format(title=name) + "\n".join(at_runtime)
    return f"{head}\nif TYPE_CHECKING:\n{lines}\n\n{text}\n"


def _methods(module: str, service: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for node in service.body:
        if not isinstance(node, ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        if (module, node.name) not in LEFT_OUT:
            yield _method(node)


def _method(node: ast.AsyncFunctionDef) -> ast.FunctionDef:
    """Return the method that waits for the answer, or walks over an asynchronous generator."""
    returns = ast.unparse(node.returns) if node.returns else "None"
    arguments = [argument.arg for argument in node.args.args[1:]]
    arguments += [f"{argument.arg}={argument.arg}" for argument in node.args.kwonlyargs]
    given = ", ".join([f"self._service.{node.name}", *arguments])
    how = "_walk" if returns.startswith("AsyncGenerator") else "_call"
    if how == "_walk":
        returns = returns.replace("AsyncGenerator[", "Generator[", 1).replace(", None]", "]")
    text = ast.get_docstring(node, clean=False) or ""
    call = ast.parse(f"return self.{how}(partial({given}))").body
    return ast.FunctionDef(
        name=node.name,
        args=node.args,
        body=[_docstring(_said(text)), *call],
        decorator_list=[],
        returns=ast.parse(returns, mode="eval").body,
    )


def _said(text: str) -> str:
    """Return a docstring as it is for synchronous callers."""
    return text.replace("``async with aclosing(plane.", "``with closing(plane.")


def _docstring(text: str) -> ast.Expr:
    return ast.Expr(ast.Constant(text))


def _names_in(nodes: Iterable[ast.AST | None]) -> set[str]:
    found = (inner for node in nodes if node is not None for inner in ast.walk(node))
    return {node.id for node in found if isinstance(node, ast.Name)}


def _annotations(methods: list[ast.FunctionDef]) -> set[str]:
    """Return the names that annotations need."""
    arguments = (each for method in methods for each in ast.walk(method.args))
    kinds = (each.annotation for each in arguments if isinstance(each, ast.arg))
    return _names_in([*kinds, *(method.returns for method in methods)])


def _defaults(methods: list[ast.FunctionDef]) -> set[str]:
    """Return the names that defaults need when the module is loaded."""
    return _names_in(
        value for method in methods for value in (*method.args.defaults, *method.args.kw_defaults)
    )


def _import(tree: ast.Module, name: str) -> str:
    return next(
        (
            f"from {node.module} import {name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and name in {each.name for each in node.names}
        ),
        "",
    )


def _import_from(module: str, tree: ast.Module, name: str) -> str:
    """Return how a name of an annotation is imported; "" for one that Python has itself."""
    if name == "Generator":
        return "from collections.abc import Generator"
    if name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}:
        return f"from {module} import {name}"
    return _import(tree, name)


def main() -> None:
    """Write the modules, and format them."""
    for module in SERVICES:
        (FOLDER / f"{module}.py").write_text(rendered(module), encoding="utf-8")
    for words in (["format", "-q"], ["check", "-q", "--fix"], ["format", "-q"]):
        subprocess.run(["ruff", *words, str(FOLDER)], check=True)
    sys.stdout.write(f"{FOLDER} is up to date\n")


if __name__ == "__main__":
    main()
