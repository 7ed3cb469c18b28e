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
            help="A git repository. Default: that of the current folder.",
        ),
    ] = None,
    commits: Annotated[
        int,
        typer.Option(
            "--commits", metavar="N", min=1, max=200, help="Number of newest commits to use."
        ),
    ] = 6,
    test_command: Annotated[
        str | None,
        typer.Option(
            "--test-command",
            metavar="CMD",
            show_default=False,
            help="Also run this shell line in a checkout of each commit.",
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
            help="Use this store, with a new pool. Default: a new SQLite file.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the priorities.")] = 1,
    fast: Annotated[
        bool, typer.Option("--fast", help="Run without pauses, with shorter leases.")
    ] = False,
    color: Annotated[
        bool, typer.Option("--color/--no-color", help="Use colours on a terminal.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Run a day of a CI/CD system on a git repository, with two agents, and audit the result.

    Real jobs run on the newest commits. One agent is killed while it runs a job, which returns
    to the queue by itself; one job fails, becomes a dead letter and is replayed; a deployment goes
    through staging and production, and back. The demo writes nothing to the repository, fetches
    nothing, and removes all its files unless you use --keep. It exits with 1 if a step fails.
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
