"""Commands of other packages: entry points of the group ``cicd_core.cli``.

A package adds to its ``pyproject.toml``::

    [project.entry-points."cicd_core.cli"]
    acme = "acme_store.cli:app"

and ``cicd-core acme`` then runs that :class:`typer.Typer`. It is loaded when it is used, or when
``--help`` lists it; a plugin that cannot be loaded says so, and affects no other command.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import typer

from cicd_core.cli.groups import Commands
from cicd_core.errors import UnsupportedCapability

#: The group of entry points in which commands register.
GROUP: Final = "cicd_core.cli"
#: Their heading in ``--help``.
PANEL: Final = "Stores"


class Extensible(Commands):
    """A group that also has the commands of plugins, after its own."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in sorted(_plugins()) if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; None: there is none with that name."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _plugins():
            return own
        return _loaded(_plugins()[cmd_name])


def _plugins() -> dict[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=GROUP)}


@lru_cache
def _loaded(entry_point: EntryPoint) -> Any:
    try:
        command: Any = typer.main.get_command(entry_point.load())
    except Exception as failed:  # noqa: BLE001 - a plugin's failure must not affect other commands
        command = typer.main.get_command(_broken(entry_point, failed))
    command.name = entry_point.name
    command.rich_help_panel = PANEL
    return command


def _broken(entry_point: EntryPoint, failed: Exception) -> typer.Typer:
    """Return a command that says why it is not available."""
    why = f"{entry_point.value} cannot be loaded ({type(failed).__name__}: {failed})"
    app = typer.Typer(add_completion=False)
    lenient = {"allow_extra_args": True, "ignore_unknown_options": True}

    @app.command(help=f"Not available: {why}.", context_settings=lenient)
    def refuse() -> None:
        from cicd_core.cli.exits import reporting

        with reporting(as_json=False):
            raise UnsupportedCapability(f"{entry_point.name}: {why}") from failed

    return app
