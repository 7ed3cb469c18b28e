"""The dashboard: ``/api/dashboard``, with the flat rows that its callers expect.

Jobs here are mostly tracked runs, which something else executes. The queue is in ``/api/queue``,
and deployments with all fields are in ``/api/deployments``.
"""

from __future__ import annotations

from typing import Final

from cicd_core.control_plane.activity import Activity
from cicd_core.control_plane.dashboard import DashboardSummary
from cicd_core.http.server.idempotency import deployment_id_of, key_of
from cicd_core.http.server.replies import created, linked, ok
from cicd_core.http.server.routing import Call, Reply, RouteTable
from cicd_core.http.wire import dashboard_answers as answers
from cicd_core.http.wire import dashboard_requests as asked
from cicd_core.http.wire.job_requests import RecordStartBody
from cicd_core.http.wire.requests import Nothing
from cicd_core.model.deployment import DeploymentStatus
from cicd_core.model.job import JobStatus
from cicd_core.model.principal import Scope
from cicd_core.values import evolve

TABLE: Final = RouteTable("/api/dashboard")
_READ, _WRITE = Scope.JOBS_READ, Scope.JOBS_WRITE
_READ_DEPLOYMENTS, _DEPLOY = Scope.DEPLOYMENTS_READ, Scope.DEPLOYMENTS_WRITE


@TABLE.add(
    "POST", "/jobs", asked.TrackedJobBody, _WRITE, status=201, gives=answers.JobRow, takes_key=True
)
async def create_job(call: Call, body: asked.TrackedJobBody) -> Reply:
    """Create a pending job, to be recorded as a run, or submitted to the queue."""
    spec = evolve(body.value(), idempotency_key=key_of(call, body.idempotency_key))
    job = await call.plane.jobs.create(spec, actor=call.actor)
    row = answers.of_job(answers.JobRow, job, answers.SHORT_DIGITS)
    return created(call, "/api/dashboard/jobs", job.job_id, row)


@TABLE.add("GET", "/jobs", asked.TrackedJobsQuery, _READ, gives=answers.JobRows)
async def list_jobs(call: Call, query: asked.TrackedJobsQuery) -> Reply:
    """Return a page of jobs, the newest first."""
    found = await call.plane.jobs.list(**query.fields())
    return linked(call, answers.job_rows(found, query.limit), found.cursor)


@TABLE.add("GET", "/jobs/running", asked.NewestQuery, _READ, gives=list[answers.RunningJob])
async def running_jobs(call: Call, query: asked.NewestQuery) -> Reply:
    """Return the newest jobs that are pending, queued or running."""
    found = [
        job
        for status in (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING)
        for job in (await call.plane.jobs.list(status=status, limit=query.limit)).items
    ]
    # A job that changed its state while the lists were read appears in two of them.
    newest = sorted({job.job_id: job for job in found}.values(), key=lambda job: job.created_at)
    rows = newest[::-1][: query.limit]
    return Reply(
        value=[answers.of_job(answers.RunningJob, job, answers.SHORT_DIGITS) for job in rows]
    )


@TABLE.add("GET", "/jobs/agent/{agent_id}", asked.HundredQuery, _READ, gives=answers.JobRows)
async def jobs_of_agent(call: Call, query: asked.HundredQuery) -> Reply:
    """Return a page of the jobs that an agent claimed last, the newest first."""
    agent_id = call.name("agent_id")
    found = await call.plane.jobs.list(agent_id=agent_id, **query.fields())
    return linked(call, answers.job_rows(found, query.limit), found.cursor)


@TABLE.add("GET", "/jobs/{job_id}", Nothing, _READ, gives=answers.JobDetails)
async def get_job(call: Call, _: Nothing) -> Reply:
    """Return a job."""
    job = await call.plane.jobs.get(call.name("job_id"))
    return Reply(value=answers.of_job(answers.JobDetails, job))


@TABLE.add("POST", "/jobs/{job_id}/start", RecordStartBody, _WRITE, gives=answers.StartedJob)
async def start_job(call: Call, body: RecordStartBody) -> Reply:
    """Record that an external system started a pending job."""
    job_id, actor = call.name("job_id"), call.actor
    job = await call.plane.jobs.record_start(job_id, started_at=body.started_at, actor=actor)
    return Reply(value=answers.of_job(answers.StartedJob, job))


@TABLE.add("PATCH", "/jobs/{job_id}/complete", asked.TrackedEndBody, _WRITE, gives=answers.EndedJob)
async def complete_job(call: Call, body: asked.TrackedEndBody) -> Reply:
    """Record the verdict of a run, its agent, and its duration; a recorded verdict is final."""
    job = await call.plane.jobs.record_execution(
        call.name("job_id"),
        body.outcome(),
        duration_seconds=body.duration_seconds,
        agent_id=body.agent_id,
        actor=call.actor,
    )
    return Reply(value=answers.of_job(answers.EndedJob, job))


@TABLE.add(
    "POST",
    "/deployments",
    asked.ReleaseOfServiceBody,
    _DEPLOY,
    status=201,
    gives=answers.DeploymentRow,
    takes_key=True,
)
async def create_deployment(call: Call, body: asked.ReleaseOfServiceBody) -> Reply:
    """Create a pending deployment."""
    made = await call.plane.deployments.create(
        body.value(), deployment_id=deployment_id_of(call, body.deployment_id), actor=call.actor
    )
    row = answers.of_deployment(answers.DeploymentRow, made, answers.LIST_DIGITS)
    return created(call, "/api/dashboard/deployments", made.deployment_id, row)


@TABLE.add(
    "GET", "/deployments", asked.ReleasesQuery, _READ_DEPLOYMENTS, gives=answers.DeploymentRows
)
async def list_deployments(call: Call, query: asked.ReleasesQuery) -> Reply:
    """Return a page of deployments, the newest first."""
    found = await call.plane.deployments.list(**query.fields())
    return linked(call, answers.deployment_rows(found, query.limit), found.cursor)


@TABLE.add(
    "GET",
    "/deployments/service/{service_name}",
    asked.HundredQuery,
    _READ_DEPLOYMENTS,
    gives=answers.ServiceDeployments,
)
async def deployments_of_service(call: Call, query: asked.HundredQuery) -> Reply:
    """Return a page of a service's deployments, the newest first."""
    name = call.name("service_name")
    found = await call.plane.deployments.list(service_name=name, **query.fields())
    return linked(call, answers.service_rows(found, name), found.cursor)


@TABLE.add(
    "GET",
    "/deployments/{deployment_id}",
    Nothing,
    _READ_DEPLOYMENTS,
    gives=answers.DeploymentDetails,
)
async def get_deployment(call: Call, _: Nothing) -> Reply:
    """Return a deployment."""
    found = await call.plane.deployments.get(call.name("deployment_id"))
    return Reply(value=answers.of_deployment(answers.DeploymentDetails, found))


@TABLE.add(
    "POST",
    "/deployments/{deployment_id}/staging",
    asked.StageEndBody,
    _DEPLOY,
    gives=answers.StagedDeployment,
)
async def record_staging(call: Call, body: asked.StageEndBody) -> Reply:
    """Record the result of staging; a pending deployment passes through staging."""
    staged = await call.plane.deployments.record_staging(
        call.name("deployment_id"),
        succeeded=body.succeeded,
        staging_job_id=body.job_id,
        error_message=body.error_message,
        actor=call.actor,
    )
    return Reply(value=answers.of_deployment(answers.StagedDeployment, staged))


@TABLE.add(
    "POST",
    "/deployments/{deployment_id}/production",
    asked.StageEndBody,
    _DEPLOY,
    gives=answers.ReleasedDeployment,
)
async def record_production(call: Call, body: asked.StageEndBody) -> Reply:
    """Record the result of production; a staged deployment enters production first."""
    deployments, actor = call.plane.deployments, call.actor
    deployment_id = call.name("deployment_id")
    if (await deployments.get(deployment_id)).status is DeploymentStatus.STAGED:
        await deployments.begin_production(
            deployment_id, production_job_id=body.job_id, actor=actor
        )
    ended = await deployments.record_production(
        deployment_id,
        succeeded=body.succeeded,
        error_message=body.error_message,
        actor=actor,
    )
    return Reply(value=answers.of_deployment(answers.ReleasedDeployment, ended))


@TABLE.add(
    "POST",
    "/deployments/{deployment_id}/rollback",
    asked.VersionRollbackBody,
    _DEPLOY,
    gives=answers.RolledBackDeployment,
)
async def roll_back(call: Call, body: asked.VersionRollbackBody) -> Reply:
    """Roll back a deployment that entered production."""
    back = await call.plane.deployments.roll_back(
        call.name("deployment_id"),
        reason=body.reason,
        target=body.rolled_back_to_version,
        actor=call.actor,
    )
    return Reply(value=answers.of_deployment(answers.RolledBackDeployment, back))


@TABLE.add(
    "POST",
    "/deployments/{deployment_id}/fail",
    asked.FailureBody,
    _DEPLOY,
    gives=answers.FailedDeployment,
)
async def fail(call: Call, body: asked.FailureBody) -> Reply:
    """Fail a deployment that is not live yet."""
    failed = await call.plane.deployments.fail(
        call.name("deployment_id"), error_message=body.error_message, actor=call.actor
    )
    return Reply(value=answers.of_deployment(answers.FailedDeployment, failed))


@TABLE.add(
    "POST",
    "/deployments/{deployment_id}/metrics",
    asked.FiguresBody,
    _DEPLOY,
    gives=answers.MeasuredDeployment,
)
async def record_metrics(call: Call, body: asked.FiguresBody) -> Reply:
    """Store the newest metrics of a deployment that has traffic."""
    measured = await call.plane.deployments.record_metrics(call.name("deployment_id"), body.value())
    return Reply(value=answers.of_deployment(answers.MeasuredDeployment, measured))


@TABLE.add("GET", "/summary", asked.ZoneQuery, _READ, gives=answers.Summary)
async def summary(call: Call, query: asked.ZoneQuery) -> Reply:
    """Return the numbers of the dashboard, and the five newest jobs and deployments."""
    call.require(_READ_DEPLOYMENTS)
    found = await call.plane.dashboard.summary(tz=query.tz)
    return Reply(value=answers.of_summary(found))


@TABLE.add("GET", "/overview", asked.ZoneQuery, _READ, gives=DashboardSummary)
async def overview(call: Call, query: asked.ZoneQuery) -> Reply:
    """Return the library's summary: counts by status, complete jobs and deployments."""
    call.require(_READ_DEPLOYMENTS)
    return ok(await call.plane.dashboard.summary(tz=query.tz))


@TABLE.add("GET", "/activity", Nothing, _READ, gives=Activity)
async def activity(call: Call, _: Nothing) -> Reply:
    """Return the endings of the last 24 hours, and the times of the last 14 days."""
    return ok(await call.plane.dashboard.activity())


@TABLE.add("GET", "/agents", asked.NewestQuery, Scope.AGENTS_READ, gives=list[answers.AgentRow])
async def agents(call: Call, query: asked.NewestQuery) -> Reply:
    """Return the newest agents."""
    found = await call.plane.agents.list(limit=query.limit)
    return Reply(value=[answers.of_agent(agent) for agent in found.items])
