"""``audit``: checks a store against its own log, for people and machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cicd_core.cli import completion
from cicd_core.cli.options import JsonOption, LocalStoreOption
from cicd_core.model.amounts import amount

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cicd_core.audit import AuditReport
    from cicd_core.cli.screen import Screen


def audit_command(
    *,
    ended: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[JOB…]",
            autocompletion=completion.jobs,
            show_default=False,
            help="Jobs that must exist and must have ended.",
        ),
    ] = None,
    store: LocalStoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every record against the log: no job lost, owned twice, or counted wrong.

    It reads the whole store and writes nothing; others may work meanwhile. It exits with 1 if
    a check fails.
    """
    from cicd_core.audit import audit
    from cicd_core.cli.exits import ExitCode
    from cicd_core.cli.opening import answer
    from cicd_core.control_plane.plane import ControlPlane

    async def work(plane: ControlPlane) -> AuditReport:
        return await audit(plane, ended=ended or ())

    report = answer(work, _show, store=store, as_json=as_json)
    if not report.ok:
        raise typer.Exit(int(ExitCode.FAILED))


def audit_parts(report: AuditReport) -> list[RenderableType]:
    """Return the table of an audit's checks, and their findings."""
    from cicd_core.cli.screen import line, table, text

    shown = table("CHECK", "RESULT", "EXAMINED", "PROMISE", right=("EXAMINED",))
    notes: list[RenderableType] = []
    for check in report.checks:
        style = {"ok": "green", "failed": "bold red", "skipped": "yellow"}[check.result.value]
        word = check.result.value.upper() if check.fault_count else check.result.value
        cells = [text(check.name.value), text(word, style), text(check.examined)]
        shown.add_row(*cells, text(check.promise))
        notes += [line(f"{check.name.value}: {fault}", "red") for fault in check.faults]
        hidden = check.fault_count - len(check.faults)
        if hidden:
            notes.append(line(f"{check.name.value}: {hidden} more", "red"))
        if check.skipped is not None:
            notes.append(line(f"{check.name.value}: not checked: {check.skipped}", "yellow"))
    return [shown, *notes]


def _show(screen: Screen, report: AuditReport) -> None:
    from cicd_core.cli.screen import text

    screen.show(*audit_parts(report))
    states = sorted(report.jobs_by_state.items(), key=lambda pair: -pair[1])
    by_state = ", ".join(f"{number} {state.value}" for state, number in states)
    numbers = (
        amount(report.attempts, "attempt"),
        amount(report.retries, "retry", "retries"),
        amount(report.releases, "release"),
        amount(report.lost_leases, "lost lease"),
        amount(report.dead_letters, "dead letter"),
        amount(report.replays, "replay"),
    )
    screen.show(
        f"{amount(report.jobs, 'job')}{': ' if by_state else ''}{by_state.replace('_', ' ')}",
        f"{amount(report.events, 'event')}: {', '.join(numbers)}",
    )
    failed = [check.name.value for check in report.checks if check.fault_count]
    if failed:
        screen.show(text(f"FAILED: {', '.join(failed)}", "bold red"))
    else:
        screen.show(text("all checks passed", "green"))
