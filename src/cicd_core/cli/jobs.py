"""Jobs: list, look at, cancel, replay, reprioritise, and ask why one is not being picked up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli.options import (
    ByOption,
    CursorOption,
    JsonOption,
    LimitOption,
    PoolFilter,
    SinceOption,
    StoreOption,
    UntilOption,
)

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.listing import Page
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.job import Job
    from cicd_core.queueing.why import Reason

JobArgument = Annotated[str, typer.Argument(metavar="JOB", show_default=False, help="A job's id.")]
JobsArgument = Annotated[
    list[str], typer.Argument(metavar="JOB", show_default=False, help="Ids of jobs.")
]


def jobs(
    *,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Such as queued or failed.")
    ] = None,
    pool: PoolFilter = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="AGENT", help="Only those that it claimed last."),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only the dead letters.")] = False,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first."""
    from cicd_core.cli.inputs import choose
    from cicd_core.cli.opening import answer, plane_now
    from cicd_core.cli.paging import TimeRange, filled
    from cicd_core.cli.tables import jobs_table, show_page
    from cicd_core.errors import InvalidInput
    from cicd_core.model.job import JobStatus

    again = ""

    async def work(plane: ControlPlane) -> Page[Job]:
        nonlocal again
        if dead:
            if status or pool or agent or since or until:
                raise InvalidInput("dead", True, "it lists all dead letters: leave the filters out")
            return await filled(
                lambda number, start: plane.jobs.dead_letters(limit=number, cursor=start),
                limit=limit,
                cursor=cursor,
            )
        wanted = None if status is None else choose("status", status, JobStatus)
        times = TimeRange(since, until, await plane_now(plane))
        again = times.again
        return await filled(
            lambda number, start: plane.jobs.list(
                status=wanted,
                pool_name=pool,
                agent_id=agent,
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
    """Say why a job is not being picked up, and what helps."""
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
        str, typer.Option("--reason", metavar="TEXT", help="Why, for people.")
    ] = "cancelled",
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel jobs, or ask the agent of a running one to stop."""
    from cicd_core.cli.inputs import asker

    async def change(plane: ControlPlane, job_id: str) -> Job:
        return await plane.jobs.cancel(job_id, by=asker(by), reason=reason)

    def told(changed: Job) -> str:
        return "cancelled" if changed.is_final else "was asked to stop; its agent ends it soon"

    _change_each(job_ids, change, told, store=store, as_json=as_json)


def replay(
    *,
    job_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", show_default=False, help="Ids of dead letters."),
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
            help="How many more attempts each may use. Left out: as many as it had at first.",
        ),
    ] = None,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put dead letters into the queue again."""
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.inputs import asker
    from cicd_core.errors import InvalidInput

    with reporting(as_json=as_json):
        if everything == bool(job_ids):
            raise InvalidInput("job", job_ids or [], "give ids of dead letters, or else --all")

    async def change(plane: ControlPlane, job_id: str) -> Job:
        return await plane.jobs.replay(job_id, by=asker(by), attempts=attempts)

    def told(changed: Job) -> str:
        return f"queued again, with {changed.max_attempts - changed.attempts_used} more attempts"

    _change_each(None if everything else job_ids, change, told, store=store, as_json=as_json)


def reprioritise(
    job_id: JobArgument,
    *,
    priority: Annotated[
        str, typer.Argument(metavar="PRIORITY", help="critical, high, normal or low.")
    ],
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a job another priority."""
    from cicd_core.cli.inputs import asker, choose
    from cicd_core.cli.opening import answer
    from cicd_core.model.job import Priority

    async def work(plane: ControlPlane) -> Job:
        wanted = choose("priority", priority, Priority)
        return await plane.jobs.reprioritise(job_id, wanted, by=asker(by))

    def show(screen: Screen, changed: Job) -> None:
        screen.show(f"{changed.job_id} has priority {changed.priority.name} now")

    answer(work, show, store=store, as_json=as_json)


def _change_each(
    job_ids: list[str] | None,
    change: Callable[[ControlPlane, str], Awaitable[Job]],
    told: Callable[[Job], str],
    *,
    store: str | None,
    as_json: bool,
) -> None:
    """Change each of the jobs (None: every dead letter); the first refusal gives the exit code.

    A job that is refused is reported and does not keep the others from their change.
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
                if isinstance(error, StoreError):  # it would refuse the others as well
                    break
        return {"items": done}

    def show(screen: Screen, done: dict[str, list[Job]]) -> None:
        for each in done["items"]:
            screen.show(f"{each.job_id} {told(each)}")
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
