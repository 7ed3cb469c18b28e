"""``cost``: the estimated bill of a month, by purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli.options import JsonOption

if TYPE_CHECKING:
    from cicd_core_dynamodb.bill import Bill


def _number(name: str, metavar: str, help_text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(name, metavar=metavar, help=help_text)
    return option


def cost(
    *,
    jobs: Annotated[float, _number("--jobs", "N", "Jobs a month: 1e6.")] = 1e6,
    minutes: Annotated[float, _number("--minutes", "N", "Duration of a job.")] = 3.0,
    agents: Annotated[float, _number("--agents", "N", "Agents that always run.")] = 100,
    retried: Annotated[
        float, _number("--retried", "N", "Jobs in a hundred that are retried.")
    ] = 2.0,
    pools: Annotated[int, _number("--pools", "N", "Pools.")] = 1,
    lanes: Annotated[
        int, _number("--lanes", "N", "Lanes (job types and labels) an agent serves.")
    ] = 1,
    shards: Annotated[int, _number("--shards", "N", "Shards of a busy partition.")] = 4,
    sweepers: Annotated[
        int, _number("--sweepers", "N", "Processes that run maintenance; one of them sweeps.")
    ] = 2,
    followers: Annotated[
        int, _number("--followers", "N", "Readers that poll the log once a second.")
    ] = 0,
    poll: Annotated[
        float, _number("--poll", "SECONDS", "The store's poll_seconds: how often an agent polls.")
    ] = 2.0,
    refresh: Annotated[
        float, _number("--refresh", "SECONDS", "The setting lane_refresh_seconds.")
    ] = 5.0,
    heartbeat: Annotated[
        float, _number("--heartbeat", "SECONDS", "Interval of an agent's heartbeats.")
    ] = 10.0,
    lease: Annotated[
        float, _number("--lease", "SECONDS", "The setting lease_seconds; three renewals each.")
    ] = 30.0,
    sweep: Annotated[float, _number("--sweep", "SECONDS", "The setting sweep_seconds.")] = 1.0,
    job_days: Annotated[float, _number("--job-days", "DAYS", "Retention of ended jobs.")] = 90.0,
    log_days: Annotated[float, _number("--log-days", "DAYS", "Retention of events.")] = 30.0,
    no_log: Annotated[bool, typer.Option("--no-log", help="With log=off.")] = False,
    no_marks: Annotated[bool, typer.Option("--no-marks", help="With claim_marks=off.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Estimate the cost of a month in US dollars, by purpose.

    The estimate uses the measured consumption of each operation on a real engine, in the long run,
    for jobs whose records stay below 1 KB. It assumes that each agent opens the store itself, in
    its own process, and runs one job at a time.
    """
    from cicd_core.cli.exits import reporting
    from cicd_core.cli.output import emit
    from cicd_core_dynamodb.bill import BilledWorkload, bill_of

    with reporting(as_json=as_json):
        bill = bill_of(
            BilledWorkload(
                jobs=jobs,
                minutes=minutes,
                agents=round(agents),
                retried=retried,
                pools=pools,
                lanes=lanes,
                shards=shards,
                sweepers=sweepers,
                followers=followers,
                log=not no_log,
                claim_marks=not no_marks,
                poll_seconds=poll,
                lane_refresh_seconds=refresh,
                heartbeat_interval_seconds=heartbeat,
                lease_seconds=lease,
                sweep_seconds=sweep,
                job_days=job_days,
                log_days=log_days,
            )
        )
        if as_json:
            emit(bill)
        else:
            _show(bill)


def _show(bill: Bill) -> None:
    from cicd_core.cli.screen import Screen, table, text
    from cicd_core.clock import wall_micros
    from cicd_core.model.instants import from_micros

    screen = Screen(from_micros(wall_micros()))
    shown = table(
        "DOLLARS",
        "PART",
        "WRITES",
        "READS",
        "GB",
        "FOR",
        "WHAT",
        right=("DOLLARS", "PART", "WRITES", "READS", "GB"),
    )
    for line in bill.lines:
        shown.add_row(
            text(f"{line.dollars:,.2f}"),
            text(_part(line.dollars / bill.dollars)),
            text(_amount(line.units.writes)),
            text(_amount(line.units.reads)),
            text(f"{line.gigabytes:.1f}" if line.gigabytes else ""),
            text(line.name),
            text(line.description),
        )
    screen.show(shown)
    screen.show(f"{bill.dollars:,.2f} dollars a month, {bill.dollars_a_job:.7f} a job")
    prices = f"prices of {bill.prices.since} in {bill.prices.region}"
    screen.show(f"{prices}, on demand, excluding free tier and taxes")


def _part(share: float) -> str:
    part = f"{share:.0%}"
    return "<1%" if part == "0%" else part


def _amount(units: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if units >= size:
            return f"{units / size:.1f}{sign}"
    return f"{units:.0f}" if units else ""
