"""The page of the command line is what the program makes of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from cicd_core.cli.app import app

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).parents[2] / "docs" / "cli_reference.py"


def loaded() -> ModuleType:
    """The script, which stands outside of every package."""
    spec = importlib.util.spec_from_file_location("cli_reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cli_reference = loaded()
PAGE = cli_reference.PAGE.read_text(encoding="utf-8")
COMMANDS: dict[str, Any] = cli_reference.commands_of(typer.main.get_command(app))


def test_the_page_is_up_to_date() -> None:
    assert cli_reference.rendered() == PAGE, "run `python docs/cli_reference.py`"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section(name: str) -> None:
    assert f"\n## `{name}`\n" in PAGE


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_told(name: str) -> None:
    section = PAGE.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    options = [opt for each in COMMANDS[name].params for opt in each.opts if opt[0] == "-"]
    assert [option for option in options if f"`{option}" not in section] == []


def test_every_argument_and_option_says_what_it_is() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert rows
    said = {row: row.rpartition(" | ")[2].replace("Required.", "") for row in rows}
    assert [row for row, text in said.items() if not text.strip(" |")] == []


def test_what_is_required_is_marked() -> None:
    assert "cicd-core deployments fail [OPTIONS] --error TEXT DEPLOYMENT\n" in PAGE
    assert "| `--error TEXT` |  | The cause. Required. |" in PAGE
