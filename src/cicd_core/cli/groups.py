"""Groups of commands: ``agents`` alone means ``agents list``."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


class ListByDefault(TyperGroup):
    """A group whose name, alone or with options, means its command ``list``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``list`` before options that are not about the group itself."""
        if not args or (args[0].startswith("-") and args[0] not in {"-h", "--help"}):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def group(help_text: str) -> typer.Typer:
    """Return a group without commands."""
    return typer.Typer(cls=ListByDefault, help=help_text, rich_markup_mode="rich")
