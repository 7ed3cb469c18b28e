"""Jobs: list, show, cancel, replay, reprioritise, and explain why a job is not picked up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli import completion
from cicd_core.cli.options import (
    ActorOption,
    CursorOption,
    JsonOption,
    LimitOption,
    PoolFilter,
    SinceOption,
    StoreOption,
    UntilOption,
)
from cicd_core.model.amounts import amount
from cicd_core.model.choices import text_of

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.job import Job, JobStatus
    from cicd_core.persistence.listing import Page
    from cicd_core.queueing.why import Reason

JobArgument = Annotated[
    str,
    typer.Argument(
        metavar="JOB", autocompletion=completion.jobs, show_default=False, help="A job's id."
    ),
]
JobsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB", autocompletion=completion.open_jobs, show_default=False, help="Ids of jobs."
    ),
]


def jobs(
    *,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            autocompletion=completion.job_statuses,
            help="A status, such as queued or failed.",
        ),
    ] = None,
    pool: PoolFilter = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            metavar="AGENT",
            autocompletion=completion.agents,
            help="Only jobs that this agent claimed last.",
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            autocompletion=completion.job_types,
            help="Only jobs of this type.",
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option("--tag", metavar="TAG", help="A tag, or NAME=VALUE of the metadata."),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only dead letters.")] = False,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first."""
    from cicd_core.cli.opening import answer, plane_now
    from cicd_core.cli.paging import TimeRange, filled
    from cicd_core.cli.tables import jobs_table, show_page
    from cicd_core.errors import InvalidInput

    again, by = "", ("dead", "--dead")

    if not dead and status is not None and _is_dead(status):
        by = ("status", status)
        dead, status = True, None

    async def work(plane: ControlPlane) -> Page[Job]:
        nonlocal again
        if dead:
            if any((status, pool, agent, kind, tag, since, until)):
                hint = "it lists all dead letters: omit the other filters"
                raise InvalidInput(*by, hint)
            return await filled(
                lambda number, start: plane.jobs.dead_letters(limit=number, cursor=start),
                limit=limit,
                cursor=cursor,
            )
        wanted = None if status is None else _status(status)
        times = TimeRange(since, until, await plane_now(plane))
        again = times.again
        return await filled(
            lambda number, start: plane.jobs.list(
                status=wanted,
                pool_name=pool,
                agent_id=agent,
                job_type=kind,
                tag=tag,
                since=times.since,
                until=times.until,
                limit=number,
                cursor=start,
            ),
            limit=limit,
            cursor=cursor,
        )

    def show(screen: Screen, page: Page[Job]) -> None:
        show_page(screen, jobs_table(screen, page.items), page, nothing="no jobs", again=again)

    answer(work, show, store=store, as_json=as_json)


def job(job_id: JobArgument, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show one job: its state, attempts and history."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> Job:
        return await plane.jobs.get(job_id)

    def show(screen: Screen, found: Job) -> None:
        from cicd_core.cli.details import show_job

        show_job(screen, found)

    answer(work, show, store=store, as_json=as_json)


def why(job_id: JobArgument, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Explain why a job is not picked up, and how to fix it."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> tuple[Reason, ...]:
        return await plane.jobs.why(job_id)

    def show(screen: Screen, reasons: tuple[Reason, ...]) -> None:
        from cicd_core.cli.tables import show_reasons

        show_reasons(screen, reasons)

    answer(work, show, store=store, as_json=as_json)


def cancel(
    job_ids: JobsArgument,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="The reason, for people.")
    ] = "cancelled",
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel jobs, or ask the agent of a running one to stop."""
    from cicd_core.cli.inputs import asker

    async def change(plane: ControlPlane, job_id: str) -> Job:
        return await plane.jobs.cancel(job_id, actor=asker(actor), reason=reason)

    def describe(changed: Job) -> str:
        return "cancelled" if changed.is_final else "cancel requested; its agent stops it soon"

    _change_each(job_ids, change, describe, store=store, as_json=as_json)


def replay(
    *,
    job_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB",
            autocompletion=completion.dead_letters,
            show_default=False,
            help="Ids of dead letters.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay every dead letter.")] = False,
    attempts: Annotated[
        int | None,
        typer.Option(
            "--attempts",
            metavar="N",
            min=1,
            max=100,
            show_default=False,
            help="Number of new attempts for each. Default: as many as it had at first.",
        ),
    ] = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put dead letters back into the queue."""
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.inputs import asker
    from cicd_core.errors import InvalidInput

    with reporting(as_json=as_json):
        if everything == bool(job_ids):
            given = " ".join(job_ids or ())
            raise InvalidInput("job", given, "give ids of dead letters, or --all")

    async def change(plane: ControlPlane, job_id: str) -> Job:
        return await plane.jobs.replay(job_id, actor=asker(actor), attempts=attempts)

    def describe(changed: Job) -> str:
        more = amount(changed.max_attempts - changed.attempts_used, "more attempt")
        return f"queued again, with {more}"

    _change_each(None if everything else job_ids, change, describe, store=store, as_json=as_json)


def reprioritise(
    job_id: JobArgument,
    *,
    priority: Annotated[
        str,
        typer.Argument(
            metavar="PRIORITY",
            autocompletion=completion.priorities,
            help="critical, high, normal or low.",
        ),
    ],
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the priority of a job."""
    from cicd_core.cli.inputs import asker, choose
    from cicd_core.cli.opening import answer
    from cicd_core.model.job import Priority

    async def work(plane: ControlPlane) -> Job:
        wanted = choose("priority", priority, Priority)
        return await plane.jobs.reprioritise(job_id, wanted, actor=asker(actor))

    def show(screen: Screen, changed: Job) -> None:
        screen.show(f"{changed.job_id} now has priority {text_of(changed.priority)}")

    answer(work, show, store=store, as_json=as_json)


def _change_each(
    job_ids: list[str] | None,
    change: Callable[[ControlPlane, str], Awaitable[Job]],
    describe: Callable[[Job], str],
    *,
    store: str | None,
    as_json: bool,
) -> None:
    """Change each of the jobs (None: every dead letter); the first refusal gives the exit code.

    A refused job is reported and does not block the others.
    """
    from cicd_core.cli.exits import code_of, report
    from cicd_core.cli.opening import answer
    from cicd_core.errors import CicdError, StoreError

    refused: list[CicdError] = []

    async def work(plane: ControlPlane) -> dict[str, list[Job]]:
        done: list[Job] = []
        for job_id in await _dead_letters(plane) if job_ids is None else job_ids:
            try:
                done.append(await change(plane, job_id))
            except CicdError as error:
                report(error, as_json=as_json)
                refused.append(error)
                if isinstance(error, StoreError):  # it would refuse the others too
                    break
        return {"items": done}

    def show(screen: Screen, done: dict[str, list[Job]]) -> None:
        for each in done["items"]:
            screen.show(f"{each.job_id} {describe(each)}")
        if not done["items"] and not refused:
            screen.show("there are no dead letters")

    answer(work, show, store=store, as_json=as_json)
    if refused:
        raise SystemExit(int(code_of(refused[0])))


async def _dead_letters(plane: ControlPlane) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await plane.jobs.dead_letters(limit=500, cursor=cursor)
        found += [each.job_id for each in page.items]
        cursor = page.cursor
        if cursor is None:
            return found


def _is_dead(status: str) -> bool:
    from cicd_core.model.job import JobState

    return status.strip().replace("-", "_").lower() == JobState.DEAD_LETTERED.value


def _status(text: str) -> JobStatus:
    """Return the named status.

    Raises:
        InvalidInput: it is not a status; the error lists them.
    """
    from cicd_core.cli.inputs import choose
    from cicd_core.errors import InvalidInput
    from cicd_core.model.job import JobState, JobStatus

    try:
        return choose("status", text, JobStatus)
    except InvalidInput as wrong:
        hint = f"{wrong.reason}, {JobState.DEAD_LETTERED.value}"
        raise InvalidInput("status", text, hint) from None
