"""``enqueue``: one job from options, or many from a file; optionally waits for their end."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from cicd_core.cli import completion
from cicd_core.cli.options import ActorOption, JsonOption, StoreOption

_WORK = "The work"
_PLACE = "Placement and time"
_RETRY = "How often"
_GIT = "Source"


class ShellByDefault(TyperCommand):
    """A command whose words after ``--`` are a shell job, unless a type is before them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Set the type ``shell`` if a command follows without a type."""
        if "--" in args[:-1]:
            dashes = args.index("--")
            given, _, _ = self.make_parser(ctx).parse_args(args=args[:dashes])
            if not given.get("job_type"):
                args = [*args[:dashes], "shell", *args[dashes:]]
        return super().parse_args(ctx, args)


def enqueue(
    *,
    job_type: Annotated[
        str | None,
        typer.Argument(
            metavar="TYPE",
            autocompletion=completion.job_types,
            show_default=False,
            help="The job type. Default with a command or --shell: shell.",
        ),
    ] = None,
    argv: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            show_default=False,
            help="A command and its arguments, passed unchanged.",
        ),
    ] = None,
    payload: Annotated[
        str | None,
        typer.Option(
            "--payload",
            metavar="JSON",
            help="A JSON object; @FILE, or @- for stdin.",
            rich_help_panel=_WORK,
        ),
    ] = None,
    shell: Annotated[
        str | None,
        typer.Option("--shell", metavar="CMD", help="A shell line to run.", rich_help_panel=_WORK),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Many jobs: one JSON object per line, with the fields of JobSpec; - for stdin.",
            rich_help_panel=_WORK,
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="Time limit of an attempt (90, 5m, 2h). Default: 1h.",
            rich_help_panel=_WORK,
        ),
    ] = None,
    priority: Annotated[
        str,
        typer.Option(
            "--priority",
            metavar="PRIORITY",
            autocompletion=completion.priorities,
            help="critical, high, normal or low.",
            rich_help_panel=_PLACE,
        ),
    ] = "normal",
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            metavar="POOL",
            autocompletion=completion.pools,
            help="Whose agents.",
            rich_help_panel=_PLACE,
        ),
    ] = "default",
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="LABEL",
            help="Label that the agent must have; repeatable.",
            rich_help_panel=_PLACE,
        ),
    ] = None,
    delay: Annotated[
        str | None,
        typer.Option(
            "--delay",
            metavar="SECONDS",
            help="Delay before the job may start (30, 5m).",
            rich_help_panel=_PLACE,
        ),
    ] = None,
    run_at: Annotated[
        str | None,
        typer.Option(
            "--run-at",
            metavar="WHEN",
            help="Earliest start: ISO 8601 with a time zone.",
            rich_help_panel=_PLACE,
        ),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline",
            metavar="WHEN",
            help="Latest start, else the job times out: ISO 8601, or from now (2h).",
            rich_help_panel=_PLACE,
        ),
    ] = None,
    max_attempts: Annotated[
        int | None,
        typer.Option(
            "--max-attempts", metavar="N", help="Attempts in total.", rich_help_panel=_RETRY
        ),
    ] = None,
    retry_on: Annotated[
        str | None,
        typer.Option(
            "--retry-on",
            metavar="VERDICTS",
            help="Verdicts to retry: some of failed,error,timeout, or none. Default: error.",
            rich_help_panel=_RETRY,
        ),
    ] = None,
    at_most_once: Annotated[
        bool,
        typer.Option(
            "--at-most-once",
            help="Start the job at most once, even if its agent crashes.",
            rich_help_panel=_RETRY,
        ),
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="TEXT",
            help="Idempotency key: the same key and fields return the same job.",
            rich_help_panel=_RETRY,
        ),
    ] = None,
    repo: Annotated[
        str | None,
        typer.Option("--repo", metavar="URL", help="A git repository.", rich_help_panel=_GIT),
    ] = None,
    ref: Annotated[
        str | None,
        typer.Option(
            "--ref",
            metavar="REF",
            help="A branch, a tag, or a full name: refs/pull/7/head.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    sha: Annotated[
        str | None,
        typer.Option(
            "--sha",
            metavar="SHA",
            help="A full commit id; it overrides --ref.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="N",
            help="History depth, in commits; 0: all. Default: the agent decides.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    filter: Annotated[  # noqa: A002 - the name of git's option
        str | None,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="blob:none fetches file contents on demand; none: all at once.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    sparse: Annotated[
        list[str] | None,
        typer.Option(
            "--sparse",
            metavar="FOLDER",
            help="Check out only this folder; repeatable.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    submodules: Annotated[
        str | None,
        typer.Option(
            "--submodules",
            metavar="WHICH",
            help="off, shallow (the first level, no history), or recursive.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    lfs: Annotated[
        bool | None,
        typer.Option("--lfs/--no-lfs", help="Fetch Git LFS files.", rich_help_panel=_GIT),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag", metavar="TAG", help="A tag, for people; repeatable.", rich_help_panel=_GIT
        ),
    ] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option(
            "--meta", metavar="NAME=VALUE", help="Metadata; repeatable.", rich_help_panel=_GIT
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait for the job to end: show its output if its agent runs on this machine, "
            "and exit with its exit code.",
        ),
    ] = False,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a job into the queue.

    A command:    cicd-core enqueue -- make test

    A shell line: cicd-core enqueue --shell 'make test | tee log'

    Both need an agent that runs jobs of the type shell: cicd-core agent.
    """
    from cicd_core.cli.enqueueing import enqueue_file, enqueue_one
    from cicd_core.cli.specs import JobOptions

    options = JobOptions(
        job_type=job_type,
        argv=tuple(argv or ()),
        payload=payload,
        shell=shell,
        timeout=timeout,
        priority=priority,
        pool=pool,
        label=tuple(label or ()),
        delay=delay,
        run_at=run_at,
        deadline=deadline,
        max_attempts=max_attempts,
        retry_on=retry_on,
        at_most_once=at_most_once,
        key=key,
        repo=repo,
        ref=ref,
        sha=sha,
        depth=depth,
        filter=filter,
        sparse=tuple(sparse or ()),
        submodules=submodules,
        lfs=lfs,
        tag=tuple(tag or ()),
        meta=tuple(meta or ()),
    )
    if file is None:
        enqueue_one(options, wait=wait, actor=actor, store=store, as_json=as_json)
    else:
        enqueue_file(file, options, wait=wait, actor=actor, store=store, as_json=as_json)
