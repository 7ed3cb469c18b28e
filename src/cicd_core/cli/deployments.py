"""``deployments``: versions of services on their way to production, and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli import completion
from cicd_core.cli.groups import group
from cicd_core.cli.options import (
    ActorOption,
    CursorOption,
    JsonOption,
    LimitOption,
    SinceOption,
    StoreOption,
    UntilOption,
)

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.deployment import Deployment, DeploymentSpec
    from cicd_core.persistence.listing import Page

app = group("Deploy a version, or roll it back. Without a command: list deployments.")

Id = Annotated[
    str,
    typer.Argument(
        metavar="DEPLOYMENT",
        autocompletion=completion.deployments,
        show_default=False,
        help="A deployment's id.",
    ),
]
JobOption = Annotated[
    str | None,
    typer.Option(
        "--job", metavar="JOB", autocompletion=completion.jobs, help="The job that deploys it."
    ),
]
FailedOption = Annotated[bool, typer.Option("--failed", help="Record a failure.")]
ErrorOption = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="The cause, with --failed.")
]


@app.command("list")
def list_deployments(
    *,
    service: Annotated[
        str | None,
        typer.Option(
            "--service",
            metavar="SERVICE",
            autocompletion=completion.services,
            help="Only deployments of this service.",
        ),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            autocompletion=completion.deployment_statuses,
            help="A status, such as staged or live.",
        ),
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List deployments, the newest first."""
    from cicd_core.cli.inputs import choose
    from cicd_core.cli.opening import answer, plane_now
    from cicd_core.cli.paging import TimeRange, filled
    from cicd_core.cli.tables import deployments_table, show_page
    from cicd_core.model.deployment import DeploymentStatus

    again = ""

    async def work(plane: ControlPlane) -> Page[Deployment]:
        nonlocal again
        wanted = None if status is None else choose("status", status, DeploymentStatus)
        times = TimeRange(since, until, await plane_now(plane))
        again = times.again
        return await filled(
            lambda number, start: plane.deployments.list(
                service_name=service,
                status=wanted,
                since=times.since,
                until=times.until,
                limit=number,
                cursor=start,
            ),
            limit=limit,
            cursor=cursor,
        )

    def show(screen: Screen, page: Page[Deployment]) -> None:
        shown = deployments_table(screen, page.items)
        show_page(screen, shown, page, nothing="no deployments", again=again)

    answer(work, show, store=store, as_json=as_json)


@app.command()
def show(deployment_id: Id, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show one deployment and its history."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> Deployment:
        return await plane.deployments.get(deployment_id)

    def in_full(screen: Screen, found: Deployment) -> None:
        from cicd_core.cli.details import show_deployment

        show_deployment(screen, found)

    answer(work, in_full, store=store, as_json=as_json)


@app.command()
def create(
    *,
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            autocompletion=completion.services,
            show_default=False,
            help="The service.",
        ),
    ],
    version: Annotated[
        str,
        typer.Argument(metavar="VERSION", show_default=False, help="The version, in any scheme."),
    ],
    deployment_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="Your own id, for safe repeats."),
    ] = None,
    environment: Annotated[
        str | None, typer.Option("--env", metavar="NAME", help="The environment, such as eu-west.")
    ] = None,
    repo: Annotated[
        str | None, typer.Option("--repo", metavar="URL", help="A git repository.")
    ] = None,
    ref: Annotated[str | None, typer.Option("--ref", metavar="REF", help="A branch.")] = None,
    sha: Annotated[str | None, typer.Option("--sha", metavar="SHA", help="A commit.")] = None,
    build_job: Annotated[
        str | None,
        typer.Option(
            "--build-job",
            metavar="JOB",
            autocompletion=completion.jobs,
            help="The job that built it.",
        ),
    ] = None,
    test_job: Annotated[
        str | None,
        typer.Option(
            "--test-job",
            metavar="JOB",
            autocompletion=completion.jobs,
            help="The job that tested it.",
        ),
    ] = None,
    deploy_job: Annotated[
        str | None,
        typer.Option(
            "--deploy-job",
            metavar="JOB",
            autocompletion=completion.jobs,
            help="The job that deploys it.",
        ),
    ] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="Repeatable.")
    ] = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a deployment, pending."""
    from cicd_core.cli.inputs import asker, git_context, pairs

    def spec() -> DeploymentSpec:
        from cicd_core.model.deployment import DeploymentSpec

        return DeploymentSpec(
            service_name=service,
            version=version,
            environment=environment,
            git=git_context(repo, ref, sha),
            build_job_id=build_job,
            test_job_id=test_job,
            deploy_job_id=deploy_job,
            metadata=pairs("meta", meta or ()),
        )

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.create(
            spec(), deployment_id=deployment_id, actor=asker(actor)
        )

    _step(step, store=store, as_json=as_json, create=True)


@app.command()
def stage(
    deployment_id: Id,
    *,
    job: JobOption = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start staging: pending -> staging."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.begin_staging(
            deployment_id, staging_job_id=job, actor=asker(actor)
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def staged(
    deployment_id: Id,
    *,
    job: JobOption = None,
    failed: FailedOption = False,
    error: ErrorOption = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Finish staging: -> staged (or failed, with --failed)."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.record_staging(
            deployment_id,
            succeeded=not failed,
            staging_job_id=job,
            error_message=error,
            actor=asker(actor),
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def production(
    deployment_id: Id,
    *,
    job: JobOption = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start production: staged -> production."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.begin_production(
            deployment_id, production_job_id=job, actor=asker(actor)
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def live(
    deployment_id: Id,
    *,
    failed: FailedOption = False,
    error: ErrorOption = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Finish production: production -> live (or failed, with --failed)."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.record_production(
            deployment_id, succeeded=not failed, error_message=error, actor=asker(actor)
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def fail(
    deployment_id: Id,
    *,
    error: Annotated[
        str, typer.Option("--error", metavar="TEXT", show_default=False, help="The cause.")
    ],
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a failure before it is live."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.fail(deployment_id, error_message=error, actor=asker(actor))

    _step(step, store=store, as_json=as_json)


@app.command()
def rollback(
    deployment_id: Id,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", show_default=False, help="The reason.")
    ],
    target: Annotated[
        str | None,
        typer.Option("--to", metavar="TARGET", help="The deployment or version that replaces it."),
    ] = None,
    actor: ActorOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Roll it back from production: -> rolled back."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.roll_back(
            deployment_id, reason=reason, target=target, actor=asker(actor)
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def metrics(
    deployment_id: Id,
    *,
    error_rate: Annotated[
        float | None, typer.Option("--error-rate", metavar="SHARE", help="0 to 1.")
    ] = None,
    latency: Annotated[
        float | None, typer.Option("--latency-ms", metavar="MS", help="Milliseconds.")
    ] = None,
    requests: Annotated[
        float | None,
        typer.Option("--requests-per-second", "--rps", metavar="N", help="Requests per second."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record its metrics under traffic."""

    async def step(plane: ControlPlane) -> Deployment:
        from cicd_core.model.deployment import DeploymentMetrics

        seen = DeploymentMetrics(
            error_rate=error_rate, latency_ms=latency, requests_per_second=requests
        )
        return await plane.deployments.record_metrics(deployment_id, seen)

    _step(step, store=store, as_json=as_json)


def _step(
    step: Callable[[ControlPlane], Awaitable[Deployment]],
    *,
    store: str | None,
    as_json: bool,
    create: bool = False,
) -> None:
    """Take a step, and show the deployment after it."""
    from cicd_core.cli.opening import answer

    def show(screen: Screen, each: Deployment) -> None:
        from cicd_core.cli.screen import status, text

        where = status(each.status.value)
        screen.show(
            text(f"{each.deployment_id} ")
            .append(where)
            .append(f": {each.service_name} {each.version}", "")
        )

    answer(step, show, store=store, as_json=as_json, create=create)
