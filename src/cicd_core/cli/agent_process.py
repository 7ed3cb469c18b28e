"""``agent``: a process that claims shell jobs and runs them."""

from __future__ import annotations

import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli import completion
from cicd_core.cli.options import LocalStoreOption, ServerOption

if TYPE_CHECKING:
    from cicd_core.agent.protocols import WorkSource

_CHECKOUTS = "Checkouts"
_SENT_LOGS = "Logs that are sent"


def agent(
    *,
    pool: Annotated[
        str,
        typer.Option(
            "--pool",
            metavar="POOL",
            autocompletion=completion.pools,
            help="Pool whose jobs the agent runs.",
        ),
    ] = ("default"),
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL", help="Label of the agent; repeatable."),
    ] = None,
    slots: Annotated[
        int, typer.Option("--slots", metavar="N", help="Number of jobs to run at once.")
    ] = 1,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            autocompletion=completion.job_types,
            help="Also run jobs of this type, as shell jobs; repeatable.",
        ),
    ] = None,
    agent_id: Annotated[
        str | None,
        typer.Option(
            "--agent-id", metavar="ID", help="Unique id of the agent. Default: generated."
        ),
    ] = None,
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="SECONDS", help="Time that a drain waits for running jobs."
        ),
    ] = "30",
    lease: Annotated[
        str | None,
        typer.Option(
            "--lease", metavar="SECONDS", help="How long a lease lasts without a renewal."
        ),
    ] = None,
    exit_when_stuck: Annotated[
        int | None,
        typer.Option(
            "--exit-when-stuck",
            metavar="N",
            help="Exit with 75 when N slots are stuck, for a restart.",
        ),
    ] = None,
    stuck_after: Annotated[
        str,
        typer.Option(
            "--stuck-after",
            metavar="SECONDS",
            help="How long a slot is stuck before it counts.",
        ),
    ] = "60",
    workdir: Annotated[
        Path | None,
        typer.Option("--workdir", metavar="DIR", help="Folder for the jobs' work folders."),
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            "--cache-dir",
            metavar="DIR",
            help="Folder for mirrors of repositories. Default: the user's cache folder.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = None,
    cache_limit: Annotated[
        str,
        typer.Option(
            "--cache-limit",
            metavar="SIZE",
            help="Maximum size of all mirrors; the least recently used go first.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "10G",
    checkout_limit: Annotated[
        str,
        typer.Option(
            "--checkout-limit",
            metavar="SIZE",
            help="Maximum size of one checkout, or one download.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "10G",
    git_timeout: Annotated[
        str,
        typer.Option(
            "--git-timeout",
            metavar="SECONDS",
            help="Time limit of one git command.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "30m",
    git_config: Annotated[
        Path | None,
        typer.Option(
            "--git-config",
            metavar="FILE",
            help="Git configuration: credential helpers, proxies. A job's own is never read.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = None,
    ssh_key: Annotated[
        Path | None,
        typer.Option(
            "--ssh-key",
            metavar="FILE",
            help="Private key (a deploy key) for ssh; no other key is used.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = None,
    trust_repository: Annotated[
        list[str] | None,
        typer.Option(
            "--trust-repository",
            metavar="DIR",
            help="Folder with repositories that other users may own; repeatable.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = None,
    outside_links: Annotated[
        bool,
        typer.Option(
            "--outside-links",
            help="Allow symbolic links that point out of a checkout.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = False,
    depth: Annotated[
        int,
        typer.Option(
            "--depth",
            metavar="N",
            help="Default history depth, in commits; 0: all.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = 0,
    filter: Annotated[  # noqa: A002 - the name of git's option
        str,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="Default filter: blob:none or none.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "none",
    submodules: Annotated[
        str,
        typer.Option(
            "--submodules",
            metavar="WHICH",
            help="Default for submodules: off, shallow or recursive.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "off",
    lfs: Annotated[
        bool,
        typer.Option(
            "--lfs",
            help="Default for Git LFS: whether to fetch its files.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = False,
    log_dir: Annotated[
        Path | None,
        typer.Option(
            "--log-dir",
            metavar="DIR",
            help="Folder for job logs. Default: cicd-core/logs in the user's state folder.",
        ),
    ] = None,
    log_limit: Annotated[
        str,
        typer.Option(
            "--log-limit",
            metavar="SIZE",
            help="Maximum size of a log: its first MiB and its end are kept. At least 4M.",
        ),
    ] = "64M",
    keep_logs: Annotated[
        str,
        typer.Option(
            "--keep-logs",
            metavar="SECONDS",
            help="Retention of a log (36h, 14d) after its last write.",
        ),
    ] = "14d",
    logs_limit: Annotated[
        str,
        typer.Option(
            "--logs-limit",
            metavar="SIZE",
            help="Maximum size of all logs together; the oldest go first.",
        ),
    ] = "10G",
    send_log_tail: Annotated[
        bool,
        typer.Option(
            "--send-log-tail",
            help="Send the end of each log to the store; only if logs contain no secrets.",
        ),
    ] = False,
    send_logs: Annotated[
        bool,
        typer.Option(
            "--send-logs",
            help="Send logs to the server while jobs run, with secrets masked.",
            rich_help_panel=_SENT_LOGS,
        ),
    ] = False,
    send_logs_to: Annotated[
        str | None,
        typer.Option(
            "--send-logs-to",
            metavar="FOLDER",
            help="Without a server: send logs to a folder (or a URL), with secrets masked.",
            rich_help_panel=_SENT_LOGS,
        ),
    ] = None,
    mask_env: Annotated[
        list[str] | None,
        typer.Option(
            "--mask-env",
            metavar="NAME",
            help="Variable of the agent whose value is masked in sent logs; repeatable.",
            rich_help_panel=_SENT_LOGS,
        ),
    ] = None,
    mask_file: Annotated[
        list[Path] | None,
        typer.Option(
            "--mask-file",
            metavar="FILE",
            help="File with one secret per line to mask in sent logs; repeatable.",
            rich_help_panel=_SENT_LOGS,
        ),
    ] = None,
    mask_pattern: Annotated[
        list[str] | None,
        typer.Option(
            "--mask-pattern",
            metavar="REGEX",
            help="Regular expression for secrets to mask in sent logs; repeatable.",
            rich_help_panel=_SENT_LOGS,
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="NAME",
            help="Agent's variable to pass to jobs, or CI_*; repeatable.",
        ),
    ] = None,
    until_idle: Annotated[
        bool,
        typer.Option("--until-idle", "--once", help="Exit when idle, or cut off for a minute."),
    ] = False,
    no_maintenance: Annotated[
        bool,
        typer.Option("--no-maintenance", help="Do not run maintenance in this process."),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log only warnings.")] = False,
    store: LocalStoreOption = None,
    server: ServerOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Log in JSON, one object per line.")
    ] = False,
) -> None:
    """Run an agent: it claims shell jobs and runs them.

    SIGTERM, SIGHUP or Ctrl-C drains it: running jobs may finish within --grace, and the
    others are released. A second signal releases all jobs at once.
    """
    import anyio

    from cicd_core.agent import Agent, LogLimits
    from cicd_core.agent.init import leave_process_one
    from cicd_core.agent.shell import INHERITED, CheckoutSettings, ShellHandler
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.inputs import seconds, size
    from cicd_core.cli.logs import log_to_stderr
    from cicd_core.cli.opening import far_plane, store_url
    from cicd_core.cli.sent_logs import log_masks, log_sink
    from cicd_core.control_plane.plane import ControlPlane

    leave_process_one()
    log_to_stderr(verbose=verbose, quiet=quiet, as_json=as_json)

    async def live() -> None:
        async with AsyncExitStack() as stack:
            if server is None:
                url = store_url(store, quiet=as_json or quiet)
                opening = ControlPlane.open(url, maintenance=not no_maintenance)
                source: WorkSource = await stack.enter_async_context(opening)
            else:
                source = await stack.enter_async_context(far_plane(server))
            limits = LogLimits(
                job_bytes=size("log-limit", log_limit),
                keep_seconds=seconds("keep-logs", keep_logs),
                total_bytes=size("logs-limit", logs_limit),
            )
            sink = await log_sink(
                stack,
                source,
                sends=send_logs,
                place=send_logs_to,
                is_far=server is not None,
                limits=limits,
            )
            worker = Agent(
                source,
                pool,
                label or (),
                slots,
                agent_id=agent_id,
                grace_seconds=seconds("grace", grace),
                lease_seconds=None if lease is None else seconds("lease", lease),
                log_dir=log_dir or default_log_dir(),
                log_limits=limits,
                send_log_tail=send_log_tail,
                send_logs=sink,
                log_masks=log_masks(mask_env or (), mask_file or (), mask_pattern or ()),
                exit_when_stuck=exit_when_stuck,
                stuck_seconds=seconds("stuck-after", stuck_after),
            )
            handler = ShellHandler(
                work_dir=workdir,
                inherit_env=[*INHERITED, *(env or ())],
                checkout=CheckoutSettings(
                    cache_dir=cache_dir,
                    cache_bytes=size("cache-limit", cache_limit),
                    timeout_seconds=seconds("git-timeout", git_timeout),
                    max_bytes=size("checkout-limit", checkout_limit),
                    depth=depth,
                    filter=filter,
                    submodules=submodules,
                    lfs=lfs,
                    git_config=git_config,
                    ssh_key=ssh_key,
                    trusted_repositories=trust_repository or (),
                    outside_links=outside_links,
                ),
            )
            for job_type in dict.fromkeys(["shell", *(kind or ())]):
                worker.add_handler(job_type, handler)
            await worker.run(until_idle=until_idle)

    with reporting(as_json=as_json, writes=False):
        anyio.run(live)


def default_log_dir() -> Path:
    """Return the default folder of an agent's logs."""
    return _state_folder() / "logs"


def _state_folder() -> Path:
    """Return the folder for permanent data of programs (XDG Base Directory Specification).

    A user without a home has the temporary folder, which may not survive a restart.
    """
    given = os.environ.get("XDG_STATE_HOME")
    try:
        return Path(given or Path.home() / ".local" / "state") / "cicd-core"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"cicd-core-{os.getuid()}-state"
