"""The log: events as they happen, and the commands of each actor, for audits."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from cicd_core.http.web.trail import Trail, matches, trail_of
from cicd_core.model.amounts import amount
from cicd_core.model.event import Event
from cicd_core.model.event_types import EVENT_TYPES, check_event_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cicd_core.http.web.visit import Visit
    from cicd_core.model.event import UnreadableEvent

_ROWS: Final = 60
#: Number of events per read for a page that starts at a place, and the number of reads while too
#: few of them match.
_READ: Final = 500
_MOST_READS: Final = 4
#: Stands for the oldest event: no cursor of a store has this form.
OLDEST: Final = "oldest"


async def events(visit: Visit) -> dict[str, Any]:
    """Return the newest events, or those from a place of the log on."""
    pattern, subject = visit.text("types"), visit.text("subject")
    if pattern is not None:
        check_event_type("types", pattern)
    place = visit.text("cursor")

    def has(entry: Event | UnreadableEvent) -> bool:
        if subject is not None and subject not in entry.subject:
            return False
        return pattern is None or (isinstance(entry, Event) and fnmatchcase(entry.type, pattern))

    if place is None:
        kept = [entry for entry in await visit.recent.look() if has(entry)]
        entries, following = kept[:_ROWS], None
    else:
        entries, following = await _onward(visit, place, has)
    return {
        "entries": entries,
        "pattern": pattern,
        "subject": subject,
        "types": _choices(pattern),
        "is_newest": place is None,
        "is_whole": visit.recent.whole,
        "oldest": visit.same(cursor=OLDEST, notice=None),
        "newest": visit.same(cursor=None, notice=None),
        "following": None if following is None else visit.same(cursor=following, notice=None),
        "said": f"{amount(len(entries), 'event')} on this page",
    }


async def audit(visit: Visit) -> dict[str, Any]:
    """Return the commands and their actors, from the newest events or from a place on."""
    actor, command = visit.text("actor"), command_of(visit)
    place = visit.text("cursor")

    def has(entry: Event | UnreadableEvent) -> bool:
        return matches(entry, actor, command)

    if place is None:
        entries = [entry for entry in await visit.recent.look() if has(entry)][:_ROWS]
        following = None
    else:
        entries, following = await _onward(visit, place, has)
    trails: list[Trail] = [trail_of(entry) for entry in entries]
    return {
        "trails": trails,
        "actor": actor,
        "command": command,
        "commands": _choices(command),
        "is_newest": place is None,
        "is_whole": visit.recent.whole,
        "oldest": visit.same(cursor=OLDEST, notice=None),
        "newest": visit.same(cursor=None, notice=None),
        "following": None if following is None else visit.same(cursor=following, notice=None),
        "exports": [
            (form.upper(), visit.link("audit", "export", format=form, actor=actor, command=command))
            for form in ("csv", "json")
        ],
        "said": f"{amount(len(trails), 'command')} on this page",
    }


def command_of(visit: Visit) -> str | None:
    """Return the requested commands of an audit: an event type, or a pattern such as ``job.*``.

    Raises:
        InvalidInput: no type matches; the error lists them.
    """
    command = visit.text("command")
    return None if command is None else check_event_type("command", command)


def _choices(chosen: str | None) -> list[str]:
    """Return the types to choose from, with the chosen pattern if it is not one of them."""
    choices = [*sorted({f"{name.partition('.')[0]}.*" for name in EVENT_TYPES}), *EVENT_TYPES]
    return choices if chosen is None or chosen in choices else [chosen, *choices]


async def _onward(visit: Visit, place: str, has: Any) -> tuple[list[Any], str | None]:
    """Return the matches from a place on, and the place after them; None: the log ends there."""
    cursor = None if place == OLDEST else place
    found: list[Any] = []
    for _ in range(_MOST_READS):
        page = await visit.plane.events.read(cursor, limit=_READ)
        if not page.entries:
            return found, None
        fitting = _fitting(page.entries, has, _ROWS - len(found))
        if fitting < len(page.entries):  # only the end of a read has a cursor
            page = await visit.plane.events.read(cursor, limit=fitting)
        cursor = page.cursor
        found += [entry for entry in page.entries if has(entry)]
        if len(found) >= _ROWS:
            break
    return found, cursor


def _fitting(entries: Sequence[Any], has: Callable[[Any], bool], room: int) -> int:
    """Return how many entries fit: their matches must not exceed the room."""
    places = [number for number, entry in enumerate(entries, 1) if has(entry)]
    return places[room - 1] if len(places) > room else len(entries)
