"""A command that makes nothing makes no store: its path is mistyped, or belongs to memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
import typer.main

from cicd_core.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.person import Person

#: Commands that begin a store, and words that they need.
MAKING: Final = {
    "agent": ["--until-idle", "--quiet"],
    "demo": [],
    "deployments create": ["web", "1.0"],
    "enqueue": ["build"],
    "keys create": ["ci", "--scope", "jobs:read"],
    "pools put": ["linux"],
    "serve": [],
}
#: Words that a command wants besides those that it requires.
FURTHER: Final = {"pools set": ["--max", "3"], "replay": ["--all"]}
#: What stands for a required argument that takes no other text.
WORDS: Final = {"PRIORITY": "high", "STATUS": "healthy"}


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """Yield each command that takes a store, with a word for all that it requires."""
    for name, command in group.commands.items():
        words = [*path, name]
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        elif any("--store" in each.opts for each in command.params):
            for each in command.params:
                if each.required and each.param_type_name == "option":
                    words.append(each.opts[0])
                if each.required:
                    words.append(WORDS.get(each.metavar, "x"))
            yield " ".join([*path, name]), words


READING: Final = [
    [*words, *FURTHER.get(name, [])]
    for name, words in commands(typer.main.get_command(app))
    if name not in MAKING
]


def test_every_command_that_begins_a_store_is_known() -> None:
    assert MAKING.keys() <= {name for name, _ in commands(typer.main.get_command(app))}
    assert len(READING) > len(MAKING)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_command_that_makes_nothing_refuses_a_store_that_is_not_there(
    person: Person, tmp_path: Path, words: list[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    missing = person.types(*words, "--store", "sqlite:///typo.db")
    assert (missing.code, missing.out) == (2, "")
    assert "there is no file" in missing.err
    assert sorted(tmp_path.iterdir()) == before
    memory = person.types(*words, "--store", "memory://")
    assert (memory.code, memory.out) == (2, "")
    assert "it ends with this command" in memory.err


@pytest.mark.parametrize("name", ["deployments create", "enqueue", "keys create", "pools put"])
def test_command_that_makes_something_makes_the_store(
    person: Person, tmp_path: Path, name: str
) -> None:
    words = [*name.split(), *MAKING[name], "--store", "sqlite:///new.db", "--json"]
    answer = person.types(*words)
    assert (answer.code, answer.err) == (0, "")
    assert (tmp_path / "new.db").exists()
