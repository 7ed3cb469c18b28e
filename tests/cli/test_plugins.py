"""Commands that other packages bring: found by their entry points, and no danger to the others."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import TYPE_CHECKING

import pytest
import typer

from cicd_core.cli import plugins

if TYPE_CHECKING:
    from tests.cli.person import Person

acme = typer.Typer(help="What Acme can do.")


@acme.command()
def greet() -> None:
    """Say hello."""
    typer.echo("hello from acme")


@acme.command()
def part() -> None:
    """Say goodbye."""


def registered(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    found = EntryPoints(
        EntryPoint(name=name, value=value, group=plugins.GROUP) for name, value in values.items()
    )
    monkeypatch.setattr(plugins, "entry_points", lambda group: found.select(group=group))


def test_a_command_of_a_plugin_runs_as_ours_do(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(monkeypatch, acme=f"{__name__}:acme")
    answer = person.types("acme", "greet")
    assert (answer.code, answer.out) == (0, "hello from acme\n")


def test_help_lists_what_plugins_bring_behind_our_own(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(monkeypatch, acme=f"{__name__}:acme")
    out = person.types("--help").out
    assert "What Acme can do." in out
    assert out.index("version") < out.index("acme")


@pytest.mark.parametrize(
    "value", ["no_such_module:app", f"{__name__}:nothing", f"{__name__}:greet"]
)
def test_a_plugin_that_cannot_be_loaded_says_why_and_hurts_no_other(
    person: Person, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    registered(monkeypatch, broken=value, acme=f"{__name__}:acme")
    answer = person.types("broken", "anything", "--at-all")
    assert answer.code == 2
    assert value in answer.err
    assert person.types("acme", "greet").code == 0
    assert person.types("--help").code == 0


def test_a_plugin_takes_no_name_of_ours(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, version=f"{__name__}:acme")
    assert "cicd-core" in person.types("version").out


def test_what_nobody_brings_is_an_unknown_command(person: Person) -> None:
    assert person.types("acme").code == 2
