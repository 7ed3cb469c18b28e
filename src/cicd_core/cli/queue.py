"""The queue: its statistics, the summary, and an operator's sweeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli import completion
from cicd_core.cli.options import JsonOption, LocalStoreOption, StoreOption
from cicd_core.errors import NotFound
from cicd_core.model.amounts import amount

if TYPE_CHECKING:
    from cicd_core.cli.screen import Screen
    from cicd_core.control_plane.dashboard import DashboardSummary
    from cicd_core.control_plane.maintenance import SweepReport
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.queueing.stats import QueueStats


def stats(
    *,
    pool: Annotated[
        str | None,
        typer.Option(
            "--pool",
            metavar="POOL",
            autocompletion=completion.pools,
            help="A pool. Default: all pools together.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Start of the period: ISO 8601, or a duration ago. Default: 24h.",
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the queue's depth, times and failures."""
    from cicd_core.cli.inputs import moment
    from cicd_core.cli.opening import answer, plane_now

    async def work(plane: ControlPlane) -> QueueStats:
        begin = None if since is None else moment("since", since, await plane_now(plane))
        seen = await plane.queue.stats(pool, since=begin)
        if pool is not None and not seen.by_lane and not any(seen.depth.values()):
            await _require_pool(plane, pool)
        return seen

    def show(screen: Screen, seen: QueueStats) -> None:
        from cicd_core.cli.overview import show_stats

        show_stats(screen, seen)

    answer(work, show, store=store, as_json=as_json)


async def _require_pool(plane: ControlPlane, pool_name: str) -> None:
    """Refuse a pool without a record, agents and jobs: its name is mistyped.

    Raises:
        NotFound: it is such a pool. ``default`` is always valid.
    """
    if pool_name == "default" or await plane.pools.exists(pool_name):
        return
    agents = await plane.agents.list(pool_name=pool_name, limit=1)
    if agents.items or (await plane.jobs.list(pool_name=pool_name, limit=1)).items:
        return
    raise NotFound("pool", pool_name)


def summary(
    *,
    tz: Annotated[
        str,
        typer.Option(
            "--tz", metavar="ZONE", help="Time zone that defines today, such as Europe/Zurich."
        ),
    ] = "UTC",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show today: running, failed and new jobs."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> DashboardSummary:
        return await plane.dashboard.summary(tz=tz)

    def show(screen: Screen, seen: DashboardSummary) -> None:
        from cicd_core.cli.overview import show_summary

        show_summary(screen, seen)

    answer(work, show, store=store, as_json=as_json)


def requeue_expired(*, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Requeue jobs of agents that lost their leases.

    Every agent does so by itself, unless you turn maintenance off.
    """
    from cicd_core.cli.opening import answer

    answer(lambda plane: plane.maintenance.requeue_expired(), _show, store=store, as_json=as_json)


def sweep(*, store: LocalStoreOption = None, as_json: JsonOption = False) -> None:
    """Process due records: delays, deadlines, expired leases, silent agents.

    Every agent does so by itself, unless you turn maintenance off.
    """
    from cicd_core.cli.opening import answer

    answer(lambda plane: plane.maintenance.sweep(), _show, store=store, as_json=as_json)


def _show(screen: Screen, done: SweepReport) -> None:
    names = (
        (done.requeued, f"{done.requeued} requeued"),
        (done.promoted, f"{done.promoted} promoted"),
        (done.dead_lettered, amount(done.dead_lettered, "dead letter")),
        (done.ended, f"{done.ended} ended"),
        (done.silenced, amount(done.silenced, "silent agent")),
    )
    counts = ", ".join(words for number, words in names if number)
    screen.show(counts or ("nothing was done" if done.unreadable else "nothing was due"))
    for collection, key in done.unreadable:
        screen.show(f"unreadable, skipped: {collection} {key}")
