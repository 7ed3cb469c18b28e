"""``agent``: a process that claims shell jobs and runs them, until it is told to go."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cicd_core.cli.options import StoreOption

_CHECKOUTS = "Checkouts"


def agent(
    *,
    pool: Annotated[str, typer.Option("--pool", metavar="POOL", help="Whose jobs it takes.")] = (
        "default"
    ),
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL", help="What it has; may be repeated."),
    ] = None,
    slots: Annotated[
        int, typer.Option("--slots", metavar="N", help="How many jobs it runs at once.")
    ] = 1,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--type", metavar="TYPE", help="Run jobs of this type too, as shell jobs; repeatable."
        ),
    ] = None,
    agent_id: Annotated[
        str | None,
        typer.Option(
            "--agent-id", metavar="ID", help="Unique among all agents. Left out: made up."
        ),
    ] = None,
    grace: Annotated[
        str,
        typer.Option("--grace", metavar="SECONDS", help="What a drain waits for running jobs."),
    ] = "30",
    lease: Annotated[
        str | None,
        typer.Option(
            "--lease", metavar="SECONDS", help="How long a claim holds without a renewal."
        ),
    ] = None,
    exit_when_stuck: Annotated[
        int | None,
        typer.Option(
            "--exit-when-stuck",
            metavar="N",
            help="End with 75 when N slots can't be freed, to be started again.",
        ),
    ] = None,
    stuck_after: Annotated[
        str,
        typer.Option(
            "--stuck-after",
            metavar="SECONDS",
            help="How long a slot can't be freed before it counts for that.",
        ),
    ] = "60",
    workdir: Annotated[
        Path | None,
        typer.Option("--workdir", metavar="DIR", help="Where jobs get their folders."),
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            "--cache-dir",
            metavar="DIR",
            help="Where mirrors of repositories are kept; in the user's cache folder by default.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = None,
    cache_limit: Annotated[
        str,
        typer.Option(
            "--cache-limit",
            metavar="SIZE",
            help="The most that all mirrors may take: those used longest ago go first.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "10G",
    checkout_limit: Annotated[
        str,
        typer.Option(
            "--checkout-limit",
            metavar="SIZE",
            help="The most that one checkout, or one download, may take.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "10G",
    git_timeout: Annotated[
        str,
        typer.Option(
            "--git-timeout",
            metavar="SECONDS",
            help="How long one git command may take.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "30m",
    git_config: Annotated[
        Path | None,
        typer.Option(
            "--git-config",
            metavar="FILE",
            help="Git's configuration: credential helpers, proxies. Jobs' own is never read.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = None,
    ssh_key: Annotated[
        Path | None,
        typer.Option(
            "--ssh-key",
            metavar="FILE",
            help="The private key (a deploy key) that ssh uses, and no other.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = None,
    trust_repository: Annotated[
        list[str] | None,
        typer.Option(
            "--trust-repository",
            metavar="DIR",
            help="A folder whose repositories may belong to other users; repeatable.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = None,
    outside_links: Annotated[
        bool,
        typer.Option(
            "--outside-links",
            help="Allow symbolic links that lead out of a checkout.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = False,
    depth: Annotated[
        int,
        typer.Option(
            "--depth",
            metavar="N",
            help="Commits of the history, for jobs that do not say; 0: all.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = 0,
    filter: Annotated[  # noqa: A002 - the name of the option, as git has it
        str,
        typer.Option(
            "--filter",
            metavar="FILTER",
            help="blob:none or none, for jobs that do not say.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "none",
    submodules: Annotated[
        str,
        typer.Option(
            "--submodules",
            metavar="WHICH",
            help="off, shallow or recursive, for jobs that do not say.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = "off",
    lfs: Annotated[
        bool,
        typer.Option(
            "--lfs",
            help="Fetch the files of Git LFS, for jobs that do not say.",
            rich_help_panel=_CHECKOUTS,
        ),
    ] = False,
    log_dir: Annotated[
        Path | None,
        typer.Option(
            "--log-dir",
            metavar="DIR",
            help="Where the jobs' logs go; cicd-core/logs in the user's state folder by default.",
        ),
    ] = None,
    log_limit: Annotated[
        str,
        typer.Option(
            "--log-limit",
            metavar="SIZE",
            help="The most of one log that is kept: its first MiB, and its end. At least 4M.",
        ),
    ] = "64M",
    keep_logs: Annotated[
        str,
        typer.Option(
            "--keep-logs",
            metavar="SECONDS",
            help="How long a log is kept (36h, 14d) after it was last written to.",
        ),
    ] = "14d",
    logs_limit: Annotated[
        str,
        typer.Option(
            "--logs-limit",
            metavar="SIZE",
            help="The most that all logs together may take: the oldest go first.",
        ),
    ] = "10G",
    send_log_tail: Annotated[
        bool,
        typer.Option(
            "--send-log-tail",
            help="Send the end of each log to the store: only if logs hold no secret.",
        ),
    ] = False,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env",
            metavar="NAME",
            help="A variable of its own that jobs see too, or CI_*; repeatable.",
        ),
    ] = None,
    until_idle: Annotated[
        bool,
        typer.Option("--until-idle", "--once", help="End when nothing is left that it can claim."),
    ] = False,
    no_maintenance: Annotated[
        bool,
        typer.Option(
            "--no-maintenance", help="Leave what is due, and what others lost, to others."
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings.")] = False,
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Log in JSON, an object a line.")] = False,
) -> None:
    """Run an agent: it claims shell jobs and runs them.

    SIGTERM, SIGHUP or Ctrl-C lets it finish what it runs, for the time of
    --grace, and give back the rest; a second one gives back everything at once.
    """
    import anyio

    from cicd_core.agent import Agent, LogLimits
    from cicd_core.agent.init import leave_process_one
    from cicd_core.agent.shell import INHERITED, CheckoutSettings, ShellHandler
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.inputs import seconds, size
    from cicd_core.cli.logs import log_to_stderr
    from cicd_core.cli.opening import store_url
    from cicd_core.control_plane.plane import ControlPlane

    leave_process_one()
    log_to_stderr(verbose=verbose, quiet=quiet, as_json=as_json)

    async def live() -> None:
        url = store_url(store, quiet=as_json or quiet)
        async with ControlPlane.open(url, maintenance=not no_maintenance) as plane:
            worker = Agent(
                plane,
                pool,
                label or (),
                slots,
                agent_id=agent_id,
                grace_seconds=seconds("grace", grace),
                lease_seconds=None if lease is None else seconds("lease", lease),
                log_dir=log_dir or default_log_dir(),
                log_limits=LogLimits(
                    job_bytes=size("log-limit", log_limit),
                    keep_seconds=seconds("keep-logs", keep_logs),
                    total_bytes=size("logs-limit", logs_limit),
                ),
                send_log_tail=send_log_tail,
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
    """Return the folder of the logs of an agent that was given none."""
    return _state_folder() / "logs"


def _state_folder() -> Path:
    """Return where programs keep what should outlive them (XDG Base Directory Specification).

    A user without a home has the temporary folder: what is there may not outlive the machine.
    """
    given = os.environ.get("XDG_STATE_HOME")
    try:
        return Path(given or Path.home() / ".local" / "state") / "cicd-core"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"cicd-core-{os.getuid()}-state"
