"""The command ``demo``: its options, and its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cicd_core.cli.options import JsonOption


def demo_command(
    *,
    repo: Annotated[
        Path | None,
        typer.Argument(
            metavar="[REPO]",
            show_default=False,
            help="A git repository. Left out: the one that you stand in.",
        ),
    ] = None,
    commits: Annotated[
        int,
        typer.Option("--commits", metavar="N", min=1, max=200, help="How many of the newest ones."),
    ] = 6,
    test_command: Annotated[
        str | None,
        typer.Option(
            "--test-command",
            metavar="CMD",
            show_default=False,
            help="A shell line to run in a checkout of each commit, too.",
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            show_default=False,
            help="Keep the store and the logs in this folder, which must be new or empty.",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            show_default=False,
            help="Use this store, in a pool of its own. Left out: a new SQLite file.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Mixes the priorities; the same, the same.")
    ] = 1,
    fast: Annotated[
        bool, typer.Option("--fast", help="Do not wait for people to look; shorter leases.")
    ] = False,
    color: Annotated[
        bool, typer.Option("--color/--no-color", help="Whether a terminal gets colours.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Play a day of a CI/CD system on a git repository, with two agents, and audit what is left.

    Real jobs run on the newest commits. One agent is killed in the middle of a job, which comes
    back by itself; one job fails into the dead letters and is replayed; a deployment goes through
    staging and production, and back. Nothing is written to the repository, nothing is fetched, and
    nothing is left behind but what --keep asks for. Exits with 1 if a scene or the audit fails.
    """
    from cicd_core.cli.demo.runner import Request, perform
    from cicd_core.cli.exits import ExitCode, reporting

    request = Request(
        repo=repo,
        commits=commits,
        test_command=test_command,
        keep=keep,
        store_url=store,
        seed=seed,
        fast=fast,
        color=color,
        as_json=as_json,
    )
    with reporting(as_json=as_json):
        good = perform(request)
    if not good:
        raise typer.Exit(int(ExitCode.FAILED))
