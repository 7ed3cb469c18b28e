"""Groups of commands: ``agents`` alone means ``agents list``; flags are shown without a type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperGroup


class Commands(TyperGroup):
    """A group whose help, and that of its commands, shows a flag as it is typed: ``--follow``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options of the group itself."""
        return _plain_flags(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None: there is none with that name."""
        found: Any = super().get_command(ctx, cmd_name)
        if found is not None:
            _plain_flags(found.get_params(ctx))
        return found


class ListByDefault(Commands):
    """A group whose name, alone or with options, means its command ``list``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``list`` before options that are not the group's own."""
        alone = not args and not ctx.resilient_parsing  # a shell completes the command's name
        if alone or (args and args[0].startswith("-") and args[0] not in {"-h", "--help"}):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _plain_flags(parameters: Iterable[Any]) -> list[Any]:
    """Remove the type of flags: they have no value."""
    found = list(parameters)
    for parameter in found:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return found


def group(help_text: str) -> typer.Typer:
    """Return a group without commands."""
    return typer.Typer(cls=ListByDefault, help=help_text, rich_markup_mode="rich")
