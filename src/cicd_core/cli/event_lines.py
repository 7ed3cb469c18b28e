"""Events for people, a row per event."""

from __future__ import annotations

import json
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
#: The fields shown first, which the rest omits.
_KNOWN = frozenset(
    {"from", "to", "actor", "reason", "attempt", "fence", "job_type", "pool", "stamp"}
)


def show_events(events: Sequence[Event | UnreadableEvent], *, truncated: bool) -> None:
    """Write events, each with its time (UTC), type, subject and details."""
    if not events:
        return
    screen = Screen(from_micros(0))  # no age is shown here
    if truncated:
        screen.show("(older events have expired)")
    for each in events:
        if isinstance(each, UnreadableEvent):
            screen.show(f"(unreadable event: {each.event_id}: {each.reason})")
        else:
            screen.show(event_row(screen, each))


def event_row(screen: Screen, event: Event) -> Table:
    """Return an event as a row, whose last column wraps below itself."""
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
    parts: list[str] = []
    if kind == "job.claimed":  # the following events repeat it
        parts += [f"{name} {data[name]}" for name in ("attempt", "fence") if name in data]
    elif kind == "job.reprioritised":
        parts.append(f"{data.get('from')} to {data.get('to')}")
    elif data.get("reason"):
        parts.append(str(data["reason"]))
    parts += [f"by {data['actor']}"] if "actor" in data else []
    rest = {
        name: value
        for name, value in data.items()
        if name not in _KNOWN and value is not None  # such as a missing exit code
    }
    return ", ".join([*parts, *(f"{name} {_shown(value)}" for name, value in rest.items())])


def _shown(value: object) -> str:
    """Return a value of an event as a text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
