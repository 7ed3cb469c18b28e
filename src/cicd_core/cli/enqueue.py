"""``enqueue``: one job from options, or many from a file; and waiting until they have ended."""

from __future__ import annotations

from typing import Annotated

import typer

from cicd_core.cli.options import ByOption, JsonOption, StoreOption

_WORK = "The work"
_PLACE = "Where and when"
_RETRY = "How often"
_GIT = "Where it comes from"


def enqueue(
    *,
    job_type: Annotated[
        str | None,
        typer.Argument(metavar="TYPE", show_default=False, help="Left out with --shell: shell."),
    ] = None,
    argv: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- ARGV",
            show_default=False,
            help="A command and its arguments, as they are.",
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
            help="Many jobs: a JSON object a line, with the fields of JobSpec; - for stdin.",
            rich_help_panel=_WORK,
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="How long an attempt may run (90, 5m, 2h). Left out: an hour.",
            rich_help_panel=_WORK,
        ),
    ] = None,
    priority: Annotated[
        str,
        typer.Option(
            "--priority",
            metavar="PRIORITY",
            help="critical, high, normal or low.",
            rich_help_panel=_PLACE,
        ),
    ] = "normal",
    pool: Annotated[
        str, typer.Option("--pool", metavar="POOL", help="Whose agents.", rich_help_panel=_PLACE)
    ] = "default",
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="LABEL",
            help="What an agent must have; may be repeated.",
            rich_help_panel=_PLACE,
        ),
    ] = None,
    delay: Annotated[
        str | None,
        typer.Option(
            "--delay", metavar="SECONDS", help="Not before (30, 5m).", rich_help_panel=_PLACE
        ),
    ] = None,
    run_at: Annotated[
        str | None,
        typer.Option(
            "--run-at",
            metavar="WHEN",
            help="Not before: ISO 8601 with a time zone.",
            rich_help_panel=_PLACE,
        ),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline",
            metavar="WHEN",
            help="Started by then, or it ends in timeout: ISO 8601, or from now (2h).",
            rich_help_panel=_PLACE,
        ),
    ] = None,
    max_attempts: Annotated[
        int | None,
        typer.Option(
            "--max-attempts", metavar="N", help="The first included.", rich_help_panel=_RETRY
        ),
    ] = None,
    retry_on: Annotated[
        str | None,
        typer.Option(
            "--retry-on",
            metavar="VERDICTS",
            help="Some of failed,error,timeout, or none. Left out: error.",
            rich_help_panel=_RETRY,
        ),
    ] = None,
    at_most_once: Annotated[
        bool,
        typer.Option(
            "--at-most-once",
            help="Never started a second time, whatever becomes of its agent.",
            rich_help_panel=_RETRY,
        ),
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="TEXT",
            help="Idempotency key: the same key and fields again give the same job.",
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
            help="A branch, else a tag, or a full name: refs/pull/7/head.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    sha: Annotated[
        str | None,
        typer.Option(
            "--sha",
            metavar="SHA",
            help="A commit, all of its digits; it comes before the ref.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            metavar="N",
            help="Commits of the history; 0: all. Left out: the agent decides.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    filter: Annotated[  # noqa: A002 - the name of the option, as git has it
        str | None,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="blob:none fetches file contents when they are needed; none: all.",
            rich_help_panel=_GIT,
        ),
    ] = None,
    sparse: Annotated[
        list[str] | None,
        typer.Option(
            "--sparse",
            metavar="FOLDER",
            help="Check out this folder alone; may be repeated.",
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
        typer.Option("--lfs/--no-lfs", help="Fetch the files of Git LFS.", rich_help_panel=_GIT),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag", metavar="TAG", help="For people; may be repeated.", rich_help_panel=_GIT
        ),
    ] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="NAME=VALUE", help="May be repeated.", rich_help_panel=_GIT),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Follow it until it has ended; exit 1 unless it succeeded."),
    ] = False,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a job into the queue.

    A command:    cicd-core enqueue shell -- make test

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
        enqueue_one(options, wait=wait, by=by, store=store, as_json=as_json)
    else:
        enqueue_file(file, options, wait=wait, by=by, store=store, as_json=as_json)
