"""What ``enqueue`` does with its options: one job or many, and the wait for their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from cicd_core.cli.exits import ExitCode, code_of, report, reporting
from cicd_core.cli.inputs import asker
from cicd_core.cli.opening import answer, plane_now
from cicd_core.errors import CicdError, InvalidInput
from cicd_core.model.job import Job, JobState

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.cli.specs import JobOptions
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.event import Event
    from cicd_core.model.spec import JobSpec

#: How many jobs go to the store at once.
_BATCH: Final = 500


def enqueue_one(
    options: JobOptions, *, wait: bool, by: str | None, store: str | None, as_json: bool
) -> None:
    """Enqueue the job that the options mean, and perhaps wait for its end.

    Raises:
        SystemExit: something was refused, or the job did not succeed.
    """

    async def work(plane: ControlPlane) -> Job:
        cursor = await plane.events.end() if wait else ""
        spec = options.spec(await plane_now(plane))
        job = await plane.queue.enqueue(spec, by=asker(by))
        if not wait:
            return job
        (ended,) = await _ended(plane, [job], cursor, as_json=as_json)
        return ended

    def show(screen: Screen, job: Job) -> None:
        if wait:
            _show_end(screen, job)
        else:
            screen.show(_described(screen, job))

    job = answer(work, show, store=store, as_json=as_json, create=True)
    if wait and job.state is not JobState.SUCCESS:
        raise SystemExit(int(ExitCode.FAILED))


def enqueue_file(
    file: str, options: JobOptions, *, wait: bool, by: str | None, store: str | None, as_json: bool
) -> None:
    """Enqueue the jobs of a file, and perhaps wait for their end.

    Every line is read and checked before the first job is made. If the store refuses on the way,
    the jobs that were made are told, then the error.

    Raises:
        SystemExit: something was refused, or a job did not succeed.
    """
    from cicd_core.cli.specs import specs_in

    with reporting(as_json=as_json):
        if options.given:
            others = ", ".join(options.given)
            raise InvalidInput("from", file, f"its lines say all there is: leave {others} out")
        specs = specs_in(file)
    refused: list[CicdError] = []

    async def work(plane: ControlPlane) -> dict[str, Any]:
        cursor = await plane.events.end() if wait else ""
        jobs = await _enqueue_all(plane, specs, asker(by), refused)
        if wait and not refused:
            jobs = await _ended(plane, jobs, cursor, as_json=True)
        return {
            "count": len(jobs),
            "by_state": Counter(job.state.value for job in jobs),
            "items": [{"job_id": job.job_id, "state": job.state} for job in jobs],
        }

    def show(screen: Screen, done: dict[str, Any]) -> None:
        told = ", ".join(f"{number} {state}" for state, number in done["by_state"].items())
        screen.show(f"enqueued {done['count']} jobs" + (f": {told}" if wait else ""))

    done = answer(work, show, store=store, as_json=as_json, create=True)
    if refused:
        report(refused[0], as_json=as_json)
        raise SystemExit(int(code_of(refused[0])))
    if wait and done["by_state"].keys() - {JobState.SUCCESS.value}:
        raise SystemExit(int(ExitCode.FAILED))


async def _enqueue_all(
    plane: ControlPlane, specs: Sequence[JobSpec], by: str, refused: list[CicdError]
) -> list[Job]:
    """Enqueue batch by batch, with a bar for whoever looks on; stop at the first refusal."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Console(stderr=True)
    jobs: list[Job] = []
    with Progress(console=bar, transient=True, disable=not bar.is_terminal) as progress:
        task = progress.add_task("enqueueing", total=len(specs))
        for first in range(0, len(specs), _BATCH):
            try:
                jobs += await plane.queue.enqueue_many(specs[first : first + _BATCH], by=by)
            except CicdError as error:
                refused.append(error)
                break
            progress.update(task, completed=len(jobs))
    return jobs


async def _ended(
    plane: ControlPlane, jobs: Sequence[Job], cursor: str, *, as_json: bool
) -> list[Job]:
    """Wait for the end of the jobs; tell what happens to them to people."""
    from cicd_core.cli.waiting import wait_for

    if as_json:
        return await wait_for(plane, jobs, cursor, lambda _: None)
    from cicd_core.cli.event_lines import event_row
    from cicd_core.cli.screen import Screen

    screen = Screen(await plane_now(plane))

    def tell(event: Event) -> None:
        screen.show(event_row(screen, event))

    return await wait_for(plane, jobs, cursor, tell)


def _described(screen: Screen, job: Job) -> str:
    where = f"{job.priority.name.lower()} priority, pool {job.pool_name}"
    if job.state is not JobState.QUEUED:
        return f"{job.job_id} {job.state.value}: the key made it before"
    delayed = job.ready_at is None and job.attempt == 0
    when = f", {screen.age(job.run_at)}" if delayed else ""
    return f"{job.job_id} queued: {job.job_type}, {where}{when}"


def _show_end(screen: Screen, job: Job) -> None:
    from cicd_core.cli.screen import span, status, text

    code = "" if job.exit_code is None else f", exit code {job.exit_code}"
    took = "" if job.duration_seconds is None else f", took {span(job.duration_seconds)}"
    screen.show(status(job.state.value).append(f" {job.job_id}{code}{took}", ""))
    if job.state is not JobState.SUCCESS:
        if job.error_message:
            screen.show(text(job.error_message))
        if job.logs_summary:
            screen.show(text(job.logs_summary.rstrip(), "dim"))
