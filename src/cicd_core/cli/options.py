"""The options that many commands share."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cicd_core.cli import completion
from cicd_core.store.default import STORE_VARIABLE

BY_VARIABLE: Final = "CICD_ACTOR"

SERVER_VARIABLE: Final = "CICD_SERVER"

#: A store, or a server: for commands that work on both.
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        "--server",
        metavar="URL",
        envvar=[STORE_VARIABLE, SERVER_VARIABLE],
        show_default=False,
        help=(
            "A store, such as sqlite:///ci.db, or a server, such as https://ci.example.org, with "
            "its key in CICD_KEY. Default: sqlite:///cicd.db in this folder."
        ),
    ),
]
#: A store that the command opens itself.
LocalStoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar=STORE_VARIABLE,
        show_default=False,
        help="A store, such as sqlite:///ci.db. Default: sqlite:///cicd.db in this folder.",
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar=SERVER_VARIABLE,
        show_default=False,
        help="A control plane over HTTP, instead of a store, with its key in CICD_KEY.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON; errors go to stderr.")]
ActorOption = Annotated[
    str | None,
    typer.Option(
        "--actor",
        metavar="WHO",
        envvar=BY_VARIABLE,
        show_default=False,
        help="The actor, for the history. Default: your user name.",
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", "-n", metavar="N", min=1, max=500, help="Maximum number to show.")
]
CursorOption = Annotated[
    str | None,
    typer.Option("--cursor", metavar="CURSOR", help="Continue after the last page."),
]
PoolFilter = Annotated[
    str | None,
    typer.Option(
        "--pool", metavar="POOL", autocompletion=completion.pools, help="Only those in this pool."
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Created at this time or later: ISO 8601, or a duration ago (2h).",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="WHEN",
        help="Created before this time: ISO 8601, or a duration ago (2h).",
    ),
]
