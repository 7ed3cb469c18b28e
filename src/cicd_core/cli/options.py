"""The options that many commands share."""

from __future__ import annotations

from typing import Annotated, Final

import typer

STORE_VARIABLE: Final = "CICD_STORE"
BY_VARIABLE: Final = "CICD_BY"

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar=STORE_VARIABLE,
        show_default=False,
        help="The store: sqlite:///ci.db and the like. Left out: sqlite:///cicd.db, here.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON; errors too, on stderr.")]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="WHO",
        envvar=BY_VARIABLE,
        show_default=False,
        help="Who asks: it stands in the history. Left out: your user name.",
    ),
]
LimitOption = Annotated[
    int, typer.Option("--limit", "-n", metavar="N", min=1, max=500, help="The most to show.")
]
CursorOption = Annotated[
    str | None,
    typer.Option("--cursor", metavar="CURSOR", help="Go on where the last page ended."),
]
PoolFilter = Annotated[
    str | None, typer.Option("--pool", metavar="POOL", help="Only those of this pool.")
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help="Created then or later: ISO 8601, or a duration ago (2h)."
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="WHEN", help="Created before then: ISO 8601, or a duration ago (2h)."
    ),
]
