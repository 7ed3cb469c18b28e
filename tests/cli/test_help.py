"""The help says what there is, and comes without loading what is heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.person import Person

COMMANDS = [
    *("agent", "audit", "cancel", "demo", "enqueue", "events", "job", "jobs", "replay"),
    *("reprioritise", "requeue-expired", "stats", "stores", "summary", "sweep", "top"),
    *("version", "why"),
]
GROUPS = {
    "agents": ["list", "show", "drain", "set-status", "deregister"],
    "pools": ["list", "show", "put", "set", "scaling", "delete"],
    "keys": ["list", "show", "create", "replace", "revoke"],
    "deployments": [
        *("list", "show", "create", "stage", "staged", "production", "live", "fail"),
        *("rollback", "metrics"),
    ],
}
PATHS = [
    *([command] for command in COMMANDS),
    *([group, command] for group, commands in GROUPS.items() for command in commands),
]
#: They speak of this installation.
WITHOUT_STORE = {"stores", "version"}


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_explains_itself_and_takes_a_store(person: Person, path: list[str]) -> None:
    answer = person.types(*path, "--help")
    assert answer.code == 0
    assert f"Usage: cicd-core {' '.join(path)}" in answer.out
    assert ("--store" in answer.out) == (path[0] not in WITHOUT_STORE)


def test_the_help_names_every_command(person: Person) -> None:
    told = person.types("--help").out
    for name in [*COMMANDS, *GROUPS]:
        assert f"│ {name} " in told


def test_flags_are_shown_without_a_type_and_required_options_with_a_mark(person: Person) -> None:
    for words in (["events"], ["agents", "list"], []):
        assert "<bool>" not in person.types(*words, "--help").out
    told = person.types("deployments", "fail", "--help").out
    assert re.search(r"\* +--error +TEXT +The cause. \[required\]", told)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_names_its_commands(person: Person, group: str) -> None:
    told = person.types(group, "-h").out
    for name in GROUPS[group]:
        assert f"│ {name} " in told


def test_help_loads_nothing_that_only_a_command_needs() -> None:
    heavy = ["aiosqlite", "cicd_core.agent", "rich", "sqlite3", "cicd_core.cli.screen"]
    code = f"import cicd_core.cli.app, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_version_names_what_matters_for_a_report(person: Person) -> None:
    assert person.asks("version").keys() == {"cicd-core", "python", "sqlite"}
    assert person.types("version").out.startswith("cicd-core ")


def test_stores_says_which_can_be_opened(person: Person) -> None:
    found = {each["scheme"]: each for each in person.asks("stores")["items"]}
    assert found["sqlite"]["problem"] is None
    assert found["redis"]["problem"] is None
    lines = person.types("stores").out.splitlines()
    assert [line.split("://")[0] for line in lines] == sorted(found)
    (column,) = {line.index(f" {found[line.split('://')[0]]['package']} ") for line in lines}
    assert column > max(map(len, found))
