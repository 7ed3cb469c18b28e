"""The implementation of ``enqueue``: one job or many, and the wait for their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio

from cicd_core.cli.exits import ExitCode, code_of, report, report_interrupt, reporting
from cicd_core.cli.inputs import asker
from cicd_core.cli.opening import answer, plane_now
from cicd_core.cli.unserved import warn_of_unserved
from cicd_core.cli.waiting import wait_for
from cicd_core.errors import CicdError, InvalidInput
from cicd_core.model.amounts import amount
from cicd_core.model.choices import text_of
from cicd_core.model.job import Job, JobState

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.cli.specs import JobOptions
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.spec import JobSpec

#: Number of jobs per call to the store.
_BATCH: Final = 500
#: The largest exit code of a process.
_LARGEST_EXIT_CODE: Final = 255


def enqueue_one(
    options: JobOptions, *, wait: bool, actor: str | None, store: str | None, as_json: bool
) -> None:
    """Enqueue the job of the options, and optionally wait for its end.

    Raises:
        SystemExit: a request was refused, or the job did not succeed.
    """
    with reporting(as_json=as_json):
        spec = options.spec()

    async def work(plane: ControlPlane) -> Job:
        cursor = await plane.events.end() if wait else ""
        job = await plane.queue.enqueue(spec, actor=asker(actor))
        if wait:
            return await _waited_for(plane, job, cursor, as_json=as_json)
        if not as_json:
            await warn_of_unserved(plane, [job])
        return job

    def show(screen: Screen, job: Job) -> None:
        if not wait:  # the wait has already shown the end
            screen.show(_described(screen, job))

    job = answer(work, show, store=store, as_json=as_json, create=True)
    if wait and job.state is not JobState.SUCCESS:
        raise SystemExit(_exit_code(job))


def enqueue_file(
    file: str,
    options: JobOptions,
    *,
    wait: bool,
    actor: str | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Enqueue the jobs of a file, and optionally wait for their end.

    Every line is read and checked before the first job is created. If the store refuses a batch,
    the command reports the created jobs, then the error.

    Raises:
        SystemExit: a request was refused, or a job did not succeed.
    """
    from cicd_core.cli.specs import specs_in

    with reporting(as_json=as_json):
        if options.given:
            others = ", ".join(map(_as_typed, options.given))
            raise InvalidInput("from", file, f"its lines describe the jobs: omit {others}")
        specs = specs_in(file)
    refused: list[CicdError] = []

    async def work(plane: ControlPlane) -> dict[str, Any]:
        cursor = await plane.events.end() if wait else ""
        jobs = await _enqueue_all(plane, specs, asker(actor), refused)
        if not as_json:
            await warn_of_unserved(plane, jobs)
        if wait and not refused:
            with _going_on_if_interrupted(jobs, as_json=as_json):
                jobs = await wait_for(plane, jobs, cursor, lambda _: None)
        return {
            "count": len(jobs),
            "by_state": Counter(job.state.value for job in jobs),
            "items": [{"job_id": job.job_id, "state": job.state} for job in jobs],
        }

    def show(screen: Screen, done: dict[str, Any]) -> None:
        by_state = ", ".join(f"{number} {state}" for state, number in done["by_state"].items())
        screen.show(
            f"enqueued {amount(done['count'], 'job')}"
            + (f": {by_state}" if wait and by_state else "")
        )

    done = answer(work, show, store=store, as_json=as_json, create=True)
    if refused:
        report(refused[0], as_json=as_json)
        raise SystemExit(int(code_of(refused[0])))
    if wait and done["by_state"].keys() - {JobState.SUCCESS.value}:
        raise SystemExit(int(ExitCode.FAILED))


def _as_typed(name: str) -> str:
    """Return the name of an option or argument of the command, from the field's name."""
    words = {"job_type": "the type", "argv": "the command"}
    return words.get(name) or f"--{name.replace('_', '-')}"


async def _enqueue_all(
    plane: ControlPlane, specs: Sequence[JobSpec], actor: str, refused: list[CicdError]
) -> list[Job]:
    """Enqueue batch by batch, with a progress bar; stop at the first refusal."""
    from rich.console import Console
    from rich.progress import Progress

    bar = Console(stderr=True)
    jobs: list[Job] = []
    with Progress(console=bar, transient=True, disable=not bar.is_terminal) as progress:
        task = progress.add_task("enqueueing", total=len(specs))
        for first in range(0, len(specs), _BATCH):
            try:
                jobs += await plane.queue.enqueue_many(specs[first : first + _BATCH], actor=actor)
            except CicdError as error:
                refused.append(error)
                break
            progress.update(task, completed=len(jobs))
    return jobs


async def _waited_for(plane: ControlPlane, job: Job, cursor: str, *, as_json: bool) -> Job:
    """Return the job when it has ended; show people its progress and its end."""
    with _going_on_if_interrupted([job], as_json=as_json):
        if as_json:
            (ended,) = await wait_for(plane, [job], cursor, lambda _: None)
            return ended
        from cicd_core.cli.following import JobFollower
        from cicd_core.cli.screen import Screen

        screen = Screen(await plane_now(plane), stderr=True)
        screen.show(_described(screen, job))
        await warn_of_unserved(plane, [job])
        follower = JobFollower(plane, screen)
        ended = await follower.follow(job, cursor)
        _show_end(screen, ended, has_output=follower.has_output)
        return ended


@contextmanager
def _going_on_if_interrupted(jobs: Sequence[Job], *, as_json: bool) -> Generator[None]:
    """Explain at Ctrl-C that the jobs continue, and how to see or cancel them."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        one = jobs[0].job_id if len(jobs) == 1 else None
        if one is None:
            hint = f"{amount(len(jobs), 'job')} continue; `cicd-core jobs` lists them, "
            hint += "`cicd-core cancel JOB` cancels one"
        else:
            hint = f"job {one} continues; `cicd-core logs {one} --follow` shows its output, "
            hint += f"`cicd-core cancel {one}` cancels it"
        report_interrupt(hint, [job.job_id for job in jobs], as_json=as_json)
        raise


def _exit_code(job: Job) -> int:
    """Return the exit code of a job that did not succeed, if a process can exit with it."""
    code = job.exit_code or 0
    return code if 0 < code <= _LARGEST_EXIT_CODE else int(ExitCode.FAILED)


def _described(screen: Screen, job: Job) -> str:
    where = f"{text_of(job.priority)} priority, pool {job.pool_name}"
    if job.state is not JobState.QUEUED:
        return f"{job.job_id} {job.state.value}: the key exists already"
    delayed = job.ready_at is None and job.attempt == 0
    when = f", {screen.age(job.run_at)}" if delayed else ""
    return f"{job.job_id} queued: {job.job_type}, {where}{when}"


def _show_end(screen: Screen, job: Job, *, has_output: bool) -> None:
    from cicd_core.cli.screen import span, status, text

    code = "" if job.exit_code is None else f", exit code {job.exit_code}"
    took = "" if job.duration_seconds is None else f", took {span(job.duration_seconds)}"
    screen.show(status(job.state.value).append(f" {job.job_id}{code}{took}", ""))
    if job.state is not JobState.SUCCESS:
        if job.error_message:
            screen.show(text(job.error_message))
        if job.logs_summary and not has_output:
            screen.show(text(job.logs_summary.rstrip(), "dim"))
