"""Events for people, a row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from cicd_core.cli.screen import Screen, line, text
from cicd_core.model.event import UnreadableEvent
from cicd_core.model.instants import from_micros

if TYPE_CHECKING:
    from cicd_core.model.event import Event

_STYLES = {
    "succeeded": "green",
    "live": "green",
    "failed": "red",
    "errored": "red",
    "timed_out": "red",
    "dead_lettered": "bold red",
    "offline": "red",
    "retried": "yellow",
    "released": "yellow",
    "rolled_back": "magenta",
}
#: What the line tells before the rest: the rest repeats it.
_KNOWN = frozenset({"from", "to", "by", "why", "attempt", "fence", "job_type", "pool"})


def show_events(events: Sequence[Event | UnreadableEvent], *, torn: bool) -> None:
    """Write events, each with when it was (UTC), what, of whom, and what one wants to know."""
    if not events:
        return
    screen = Screen(from_micros(0))  # no age is shown here
    if torn:
        screen.show("(older events have left the log)")
    for each in events:
        if isinstance(each, UnreadableEvent):
            screen.show(f"(an event can't be read: {each.event_id}: {each.reason})")
        else:
            screen.show(event_row(screen, each))


def event_row(screen: Screen, event: Event) -> Table:
    """Return an event as a row, whose last column is continued below itself."""
    name = event.type.rpartition(".")[2]
    subject = event.subject[1]
    time = f"{event.at:%H:%M:%S}"
    if screen.wide:
        time += f".{event.at.microsecond // 1000:03d}"
    row = Table.grid(padding=(0, 2 if screen.wide else 1, 0, 0))
    for width in (len(time), 20, 26):
        row.add_column(min_width=width, no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(
        text(time, "dim"),
        text(event.type, _STYLES.get(name, "")),
        text(subject),
        line(_facts(event.type, event.data)),
    )
    return row


def _facts(kind: str, data: Mapping[str, Any]) -> str:
    told: list[str] = []
    if kind == "job.claimed":  # the ones that follow repeat it
        told += [f"{name} {data[name]}" for name in ("attempt", "fence") if name in data]
    elif data.get("why"):
        told.append(str(data["why"]))
    told += [f"by {data['by']}"] if "by" in data else []
    told += [f"{name} {value}" for name, value in data.items() if name not in _KNOWN]
    return ", ".join(told)
