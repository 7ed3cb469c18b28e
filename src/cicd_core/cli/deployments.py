"""``deployments``: a version of a service on its way through staging to production, and back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli.groups import group
from cicd_core.cli.options import (
    ByOption,
    CursorOption,
    JsonOption,
    LimitOption,
    SinceOption,
    StoreOption,
    UntilOption,
)

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.listing import Page
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.deployment import Deployment, DeploymentSpec

app = group("Take a version to production, or back. Alone: list them.")

Id = Annotated[
    str, typer.Argument(metavar="DEPLOYMENT", show_default=False, help="A deployment's id.")
]
JobOption = Annotated[
    str | None, typer.Option("--job", metavar="JOB", help="The job that does it.")
]
FailedOption = Annotated[bool, typer.Option("--failed", help="It did not succeed.")]
ErrorOption = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="Why it failed, with --failed.")
]


@app.command("list")
def list_deployments(
    *,
    service: Annotated[
        str | None, typer.Option("--service", metavar="SERVICE", help="Only those of this one.")
    ] = None,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Such as staged or live.")
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
    service: Annotated[str, typer.Argument(metavar="SERVICE", show_default=False)],
    version: Annotated[str, typer.Argument(metavar="VERSION", show_default=False)],
    deployment_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="A name of yours: a repetition is recognised."),
    ] = None,
    environment: Annotated[
        str | None, typer.Option("--env", metavar="NAME", help="Such as eu-west or customers.")
    ] = None,
    repo: Annotated[
        str | None, typer.Option("--repo", metavar="URL", help="A git repository.")
    ] = None,
    ref: Annotated[str | None, typer.Option("--ref", metavar="REF", help="A branch.")] = None,
    sha: Annotated[str | None, typer.Option("--sha", metavar="SHA", help="A commit.")] = None,
    build_job: Annotated[
        str | None, typer.Option("--build-job", metavar="JOB", help="The job that built it.")
    ] = None,
    test_job: Annotated[
        str | None, typer.Option("--test-job", metavar="JOB", help="The job that tested it.")
    ] = None,
    deploy_job: Annotated[
        str | None, typer.Option("--deploy-job", metavar="JOB", help="The job that deploys it.")
    ] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="May be repeated.")
    ] = None,
    by: ByOption = None,
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
        return await plane.deployments.create(spec(), deployment_id=deployment_id, by=asker(by))

    _step(step, store=store, as_json=as_json, create=True)


@app.command()
def stage(
    deployment_id: Id,
    *,
    job: JobOption = None,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Staging begins: pending -> staging."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.begin_staging(
            deployment_id, staging_job_id=job, by=asker(by)
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def staged(
    deployment_id: Id,
    *,
    job: JobOption = None,
    failed: FailedOption = False,
    error: ErrorOption = None,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """It stands in staging: -> staged (or failed, with --failed)."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.record_staging(
            deployment_id,
            succeeded=not failed,
            staging_job_id=job,
            error_message=error,
            by=asker(by),
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def production(
    deployment_id: Id,
    *,
    job: JobOption = None,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Production begins: staged -> production."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.begin_production(
            deployment_id, production_job_id=job, by=asker(by)
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def live(
    deployment_id: Id,
    *,
    failed: FailedOption = False,
    error: ErrorOption = None,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """It serves: production -> live (or failed, with --failed)."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.record_production(
            deployment_id, succeeded=not failed, error_message=error, by=asker(by)
        )

    _step(step, store=store, as_json=as_json)


@app.command()
def fail(
    deployment_id: Id,
    *,
    error: Annotated[
        str, typer.Option("--error", metavar="TEXT", show_default=False, help="Why it failed.")
    ],
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """It failed, before it was live."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.fail(deployment_id, error_message=error, by=asker(by))

    _step(step, store=store, as_json=as_json)


@app.command()
def rollback(
    deployment_id: Id,
    *,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", show_default=False, help="Why, for people.")
    ],
    target: Annotated[
        str | None,
        typer.Option("--to", metavar="TARGET", help="The deployment or version in its place."),
    ] = None,
    by: ByOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take it back from production: -> rolled back."""
    from cicd_core.cli.inputs import asker

    async def step(plane: ControlPlane) -> Deployment:
        return await plane.deployments.roll_back(
            deployment_id, reason=reason, target=target, by=asker(by)
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
        float | None, typer.Option("--requests-per-second", "--rps", metavar="N")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record how it behaves under traffic."""

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
    """Take one step, and tell where the deployment stands then."""
    from cicd_core.cli.opening import answer

    def told(screen: Screen, each: Deployment) -> None:
        from cicd_core.cli.screen import status, text

        where = status(each.status.value)
        screen.show(
            text(f"{each.deployment_id} ")
            .append(where)
            .append(f": {each.service_name} {each.version}", "")
        )

    answer(step, told, store=store, as_json=as_json, create=create)
