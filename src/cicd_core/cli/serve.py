"""``serve``: the control plane over HTTP."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli.options import LocalStoreOption

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane

_LOGS = "Logs of jobs"


def serve(
    context: typer.Context,
    *,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="PORT", min=0, max=65535, help="The port; 0: any free port."
        ),
    ] = 8000,
    certfile: Annotated[
        Path | None,
        typer.Option(
            "--certfile", metavar="FILE", help="The certificate with its chain; turns HTTPS on."
        ),
    ] = None,
    keyfile: Annotated[
        Path | None,
        typer.Option("--keyfile", metavar="FILE", help="The private key of the certificate."),
    ] = None,
    require_auth: Annotated[
        bool,
        typer.Option(
            "--require-auth", help="Require an API key from all callers: see `cicd-core keys`."
        ),
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            metavar="ORIGIN",
            help="Another origin whose pages may call the API with a token; repeatable.",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            metavar="ADDRESS",
            help=(
                "A proxy, or a network of proxies, whose X-Forwarded-For header is trusted; "
                "repeatable."
            ),
        ),
    ] = None,
    base_path: Annotated[
        str,
        typer.Option(
            "--base-path",
            metavar="PATH",
            help="The path prefix that a proxy removes from each request, such as /ci.",
        ),
    ] = "",
    logs: Annotated[
        str | None,
        typer.Option(
            "--logs",
            metavar="FOLDER",
            help="Folder (or URL) for the logs that agents send. Default: logs are not accepted.",
            rich_help_panel=_LOGS,
        ),
    ] = None,
    log_limit: Annotated[
        str,
        typer.Option(
            "--log-limit",
            metavar="SIZE",
            help="Maximum size of a log: its first MiB and its end are kept. At least 4M.",
            rich_help_panel=_LOGS,
        ),
    ] = "64M",
    keep_logs: Annotated[
        str,
        typer.Option(
            "--keep-logs",
            metavar="SECONDS",
            help="Retention of a log (36h, 14d) after its last write.",
            rich_help_panel=_LOGS,
        ),
    ] = "14d",
    logs_limit: Annotated[
        str,
        typer.Option(
            "--logs-limit",
            metavar="SIZE",
            help="Maximum size of all logs together; the oldest go first.",
            rich_help_panel=_LOGS,
        ),
    ] = "10G",
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help=(
                "Serve a day of made-up traffic, in memory. With --store, only requests with the "
                "header x-demo-mode: true get it."
            ),
        ),
    ] = False,
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting",
            metavar="N",
            min=0,
            help="How many requests of one caller may wait at once, for work or a job's end.",
        ),
    ] = 1024,
    max_streams: Annotated[
        int,
        typer.Option(
            "--max-streams",
            metavar="N",
            min=0,
            help="Maximum number of event and log streams per caller.",
        ),
    ] = 64,
    max_wait: Annotated[
        float,
        typer.Option(
            "--max-wait",
            metavar="SECONDS",
            min=0,
            max=3600,
            help="Maximum wait of a request; choose less than the timeout of a proxy.",
        ),
    ] = 3600,
    max_body: Annotated[
        int,
        typer.Option(
            "--max-body", metavar="BYTES", min=1_048_576, help="Maximum size of a request's body."
        ),
    ] = 1_048_576,
    grace: Annotated[
        float,
        typer.Option(
            "--grace",
            metavar="SECONDS",
            min=0.001,
            help="Time for running requests to finish when the server stops.",
        ),
    ] = 30,
    no_maintenance: Annotated[
        bool,
        typer.Option("--no-maintenance", help="Do not run maintenance in this process."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log only warnings.")] = False,
    store: LocalStoreOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Log in JSON, one object per line.")
    ] = False,
) -> None:
    """Serve the store over HTTP, with the status page: open the address in a browser.

    Without --require-auth, callers need no key, and the server listens only on a local address.
    SIGTERM, SIGHUP or Ctrl-C stops it gracefully: it answers waiting requests, and running requests
    finish.
    """
    import anyio

    from cicd_core.background import beside
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.inputs import seconds, size
    from cicd_core.cli.logs import log_to_stderr
    from cicd_core.cli.opening import store_url
    from cicd_core.control_plane.job_logs import JobLogService
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.errors import InvalidInput, UnsupportedCapability
    from cicd_core.job_logs import LogLimits, open_log_store

    log_to_stderr(verbose=verbose, quiet=quiet, as_json=as_json)

    async def live() -> None:
        try:
            from cicd_core.http.server.limits import Limits
            from cicd_core.http.server.running import Listening
            from cicd_core.http.server.running import serve as serve_http
            from cicd_core.http.server.session_access import TokenAccess
        except ModuleNotFoundError as missing:
            hint = f"{missing.name} is not installed; run pip install 'cicd-core[http]'"
            raise UnsupportedCapability(hint) from missing
        listening = Listening(
            host=host,
            port=port,
            certfile=certfile,
            keyfile=keyfile,
            trusted_proxies=tuple(trusted_proxy or ()),
            base_path=base_path,
        )
        has_page = find_spec("jinja2") is not None
        limits = Limits(
            max_waiting=max_waiting,
            max_streams=max_streams,
            max_wait_seconds=max_wait,
            max_body_bytes=max_body,
            grace_seconds=grace,
        )
        log_limits = LogLimits(
            job_bytes=size("log-limit", log_limit),
            keep_seconds=seconds("keep-logs", keep_logs),
            total_bytes=size("logs-limit", logs_limit),
        )
        async with AsyncExitStack() as stack:
            made_up = await _made_up(stack) if demo else None
            if made_up is not None and not is_beside:
                plane = made_up
            else:
                url = store_url(store, quiet=as_json or quiet)
                opening = ControlPlane.open(url, maintenance=not no_maintenance)
                plane = await stack.enter_async_context(opening)
            auth = TokenAccess(plane.keys, plane.sessions) if require_auth else None
            job_logs: JobLogService | None = None
            if logs is not None:
                log_store = await stack.enter_async_context(open_log_store(logs, limits=log_limits))
                job_logs = JobLogService(plane, log_store)
                await stack.enter_async_context(beside(job_logs.run))
            await serve_http(
                plane,
                listening,
                auth=auth,
                job_logs=job_logs,
                allowed_origins=allow_origin or (),
                status_page=has_page,
                demo=made_up,
                limits=limits,
                on_ready=partial(_say, require_auth=require_auth, has_page=has_page),
            )

    # Only a store from the command line counts here, not one from the environment.
    source = context.get_parameter_source("store")
    is_beside = source is not None and source.name == "COMMANDLINE"
    with reporting(as_json=as_json):
        if demo and require_auth and not is_beside:
            hint = "a demo has no keys: omit this, or serve a store beside the demo (--store)"
            raise InvalidInput("require-auth", require_auth, hint)
        anyio.run(live)


async def _made_up(stack: AsyncExitStack) -> ControlPlane:
    """Return a control plane with a day of made-up traffic, which continues while it is open."""
    from cicd_core.background import beside
    from cicd_core.testing.simulation.demo_day import DemoDay

    sys.stderr.write("demo: preparing the past day, which takes some seconds\n")
    day = DemoDay()
    await day.pass_day()
    await stack.enter_async_context(beside(day.go_on))
    return day.plane


def _say(url: str, *, require_auth: bool, has_page: bool) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    sys.stderr.write(
        "callers need an API key: `cicd-core keys create NAME --scope …` creates one\n"
        if require_auth
        else "callers need no key: every program on this machine has full access\n"
    )
    if not has_page:
        sys.stderr.write("no status page: install it with pip install 'cicd-core[web]'\n")
