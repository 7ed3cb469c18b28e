"""The queue as a whole: its statistics, the summary, and the sweeps of an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli.options import JsonOption, StoreOption

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
        typer.Option("--pool", metavar="POOL", help="One pool. Left out: all of them together."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Measure from then on: ISO 8601, or a duration ago. Left out: 24h.",
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how deep the queue is, how long it takes, what fails."""
    from cicd_core.cli.inputs import moment
    from cicd_core.cli.opening import answer, plane_now

    async def work(plane: ControlPlane) -> QueueStats:
        begin = None if since is None else moment("since", since, await plane_now(plane))
        return await plane.queue.stats(pool, since=begin)

    def show(screen: Screen, seen: QueueStats) -> None:
        from cicd_core.cli.overview import show_stats

        show_stats(screen, seen)

    answer(work, show, store=store, as_json=as_json)


def summary(
    *,
    tz: Annotated[
        str, typer.Option("--tz", metavar="ZONE", help="The time zone of today: Europe/Zurich.")
    ] = "UTC",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the day: what runs, what failed, what is new."""
    from cicd_core.cli.opening import answer

    async def work(plane: ControlPlane) -> DashboardSummary:
        return await plane.dashboard.summary(tz=tz)

    def show(screen: Screen, seen: DashboardSummary) -> None:
        from cicd_core.cli.overview import show_summary

        show_summary(screen, seen)

    answer(work, show, store=store, as_json=as_json)


def requeue_expired(*, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Take jobs back from agents that lost their leases.

    Every agent does so by itself, unless it is told not to.
    """
    from cicd_core.cli.opening import answer

    answer(lambda plane: plane.maintenance.requeue_expired(), _show, store=store, as_json=as_json)


def sweep(*, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Do what is due: delays, deadlines, lost leases, silence.

    Every agent does so by itself, unless it is told not to.
    """
    from cicd_core.cli.opening import answer

    answer(lambda plane: plane.maintenance.sweep(), _show, store=store, as_json=as_json)


def _show(screen: Screen, done: SweepReport) -> None:
    names = (
        ("requeued", done.requeued),
        ("promoted", done.promoted),
        ("dead letters", done.dead_lettered),
        ("ended", done.ended),
        ("silent agents", done.silenced),
    )
    told = ", ".join(f"{number} {name}" for name, number in names if number)
    screen.show(told or ("nothing was done" if done.unreadable else "nothing was due"))
    for collection, key in done.unreadable:
        screen.show(f"could not be read, and was left alone: {collection} {key}")
