"""The eight links about jobs: record tracked runs, and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.chains.answers import job_response
from cicd_core.chains.links import (
    VALIDATION_ERROR,
    PlaneLink,
    ServiceLink,
    actor_of,
    chosen,
    first_empty,
    found_in,
    limit_of,
    texts_by_name,
    whole_number,
)
from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_integer
from cicd_core.model.choices import check_choice
from cicd_core.model.job import Job, JobStatus, Verdict
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.persistence.listing import MAX_PAGE
from cicd_core.public_json.flat_git import checked_fields, context_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.chains.running import Context
    from cicd_core.model.git import GitContext

_REQUIRED: Final = ("job_type", "git_repo", "git_commit_sha", "git_author")
GIT_FIELDS: Final = ("git_repo", "git_ref", "git_commit_sha", "git_commit_message", "git_author")
_UNFINISHED: Final = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING)
#: Default number of jobs in a list.
_LIMIT: Final = 100


def git_of(ctx: Context) -> tuple[GitContext | None, dict[str, str]]:
    """Return the git context of flat fields, and metadata for the fields that do not fit.

    Raises:
        InvalidInput: a field is wrong; the error names it.
    """
    texts = {key: ctx.get(key) or "" for key in GIT_FIELDS}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise InvalidInput(key, text, "give a string")
    needed = {key: texts[key] for key in ("git_commit_sha", "git_author", "git_commit_message")}
    given = {key: text for key, text in texts.items() if text}
    said = checked_fields({**needed, **given})
    git = context_of(said)
    return git, {} if git else said


class ValidateJobCreationLink(ServiceLink):
    """Check a new job: a text in ``validation_error``, or None."""

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Check ``job_type``, ``git_repo``, ``git_commit_sha`` and ``git_author``."""
        return {VALIDATION_ERROR: first_empty(ctx, _REQUIRED)}


class CreateJobLink(PlaneLink):
    """Create a pending job from the flat fields, in ``job``; ``tags`` become its metadata."""

    once = "job"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Create it, if valid."""
        refused = first_empty(ctx, _REQUIRED)
        if refused is not None:
            return {VALIDATION_ERROR: refused}
        git, kept = git_of(ctx)
        spec = JobSpec(
            job_type=ctx.get("job_type"),
            git=git,
            metadata={**texts_by_name(ctx, "tags"), **kept},
            **chosen(ctx, "pool_name", "idempotency_key"),
        )
        return {"job": await self.plane.jobs.create(spec, actor=actor_of(ctx))}


class RetrieveJobLink(PlaneLink):
    """Read the job that ``job_id`` names, into ``job``."""

    needs = ("job_id",)
    once = "job"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read it."""
        return {"job": await self.plane.jobs.get(ctx.get("job_id"))}


class ListJobsLink(PlaneLink):
    """Read the newest jobs, of ``status`` if given, up to ``limit``, into ``jobs``."""

    once = "jobs"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read one page."""
        filters: dict[str, Any] = {"limit": _LIMIT, **chosen(ctx, "status", "limit")}
        return {"jobs": list((await self.plane.jobs.list(**filters)).items)}


class UpdateJobStatusLink(PlaneLink):
    """Change the status of the job that ``job_id`` names, by the command for it."""

    needs = ("job_id", "status")

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Do nothing if the job already has the status."""
        status = check_choice("status", ctx.get("status"), JobStatus)
        job = await self.plane.jobs.get(ctx.get("job_id"))
        return {"job": job if job.status is status else await self._change(ctx, job, status)}

    async def _change(self, ctx: Context, job: Job, status: JobStatus) -> Job:
        jobs, actor = self.plane.jobs, actor_of(ctx)
        if status is JobStatus.PENDING:
            reason = f"job {job.job_id!r} is {job.status}, and a job cannot become pending again"
            raise InvalidInput("status", status.value, reason)
        if status is JobStatus.QUEUED:
            return await jobs.submit(job.job_id, actor=actor)
        if status is JobStatus.RUNNING:
            return await jobs.record_start(job.job_id, actor=actor)
        if status is JobStatus.CANCELLED:
            reason = ctx.get("reason") or "cancelled"
            return await jobs.cancel(job.job_id, actor=actor, reason=reason)
        outcome = Outcome(verdict=Verdict(status.value), **chosen(ctx, "error_message"))
        return await jobs.record_execution(job.job_id, outcome, actor=actor)


class RecordJobExecutionLink(PlaneLink):
    """Record the end of a tracked run: ``exit_code`` 0 is a success, any other a failure."""

    needs = ("job_id", "exit_code")

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Record it; a repetition changes nothing."""
        job = await self.plane.jobs.record_execution(
            ctx.get("job_id"),
            outcome_of(ctx),
            actor=actor_of(ctx),
            **chosen(ctx, "duration_seconds", "agent_id"),
        )
        return {"job": job}


class ListRunningJobsLink(PlaneLink):
    """Read the newest jobs that have not ended, into ``running_jobs``."""

    once = "running_jobs"

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Read a page of each status; a job that moved meanwhile counts once."""
        limit = check_integer("limit", limit_of(ctx, _LIMIT), least=1, most=MAX_PAGE)
        found: dict[str, Job] = {}
        for status in _UNFINISHED:
            page = await self.plane.jobs.list(status=status, limit=limit)
            found.update((job.job_id, job) for job in page.items)
        newest = sorted(found.values(), key=lambda job: job.created_at, reverse=True)
        return {"running_jobs": newest[:limit]}


class SerializeJobLink(ServiceLink):
    """Put the 13 dashboard fields of ``job`` into ``job_response``."""

    needs = ("job",)

    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Convert it to a dictionary."""
        return {"job_response": job_response(found_in(ctx, "job", Job))}


def outcome_of(ctx: Context) -> Outcome:
    """Return the outcome of a process, from the context's ``exit_code`` and other fields.

    Raises:
        InvalidInput: a field is wrong; the error names it.
    """
    code = whole_number(ctx, "exit_code")
    verdict = Verdict.SUCCESS if code == 0 else Verdict.FAILED
    said: dict[str, Any] = chosen(ctx, "logs_url", "logs_summary", "error_message")
    return Outcome(verdict=verdict, exit_code=code, **said)
