"""How values look: texts of moments and durations, and the shape of each status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cicd_core.model.job import Job

#: What stands where there is no value.
NOTHING: Final = "\N{EN DASH}"
#: Between a number and its unit: no line ends there.
_JOINED: Final = "\N{NO-BREAK SPACE}"
#: Below so many seconds tenths are shown.
_EXACT: Final = 10
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
#: How much of an id a table shows: the beginning, by which it is found, and enough to tell apart.
_ID_SHOWN: Final = 14
#: The name that a job's metadata may give it.
_NAME: Final = "name"
#: The most characters of a payload, and of other texts, that a page shows.
MOST_TEXT: Final = 8_000

#: The class of each status: its colour, and a shape that tells it apart without colour.
TONES: Final = {
    "pending": "wait",
    "queued": "wait",
    "delayed": "wait",
    "claimed": "take",
    "running": "run",
    "success": "ok",
    "failed": "bad",
    "timeout": "late",
    "error": "bad",
    "cancelled": "off",
    "dead_lettered": "dead",
    "registering": "wait",
    "healthy": "ok",
    "degraded": "late",
    "unhealthy": "bad",
    "terminating": "take",
    "offline": "dead",
    "terminated": "off",
    "empty": "off",
    "staging": "run",
    "staged": "take",
    "production": "run",
    "live": "ok",
    "rolled_back": "back",
    "active": "ok",
    "expired": "off",
    "revoked": "dead",
    "ended": "off",
}
#: What a status is called, where that is not its own word.
_WORDS: Final = {
    "dead_lettered": "dead letter",
    "rolled_back": "rolled back",
    "terminating": "draining",
}


def tone(status: object) -> str:
    """Return the class of a status."""
    return TONES.get(str(status), "off")


def word(status: object) -> str:
    """Return what a status is called."""
    return _WORDS.get(str(status), str(status).replace("_", " "))


def duration(value: float | timedelta | None) -> str:
    """Return a duration as people say it, such as ``2 h 5 min``; None is a dash.

    Seconds are left out from ten minutes on.
    """
    if value is None:
        return NOTHING
    seconds = value if isinstance(value, int | float) else value.total_seconds()
    whole = round(seconds)
    if seconds < _EXACT:
        parts = [f"{max(0.0, seconds):.1f} s"]
    elif whole < _MINUTE:
        parts = [f"{whole} s"]
    elif whole < 10 * _MINUTE:
        parts = [f"{whole // _MINUTE} min", f"{whole % _MINUTE} s"]
    elif whole < _HOUR:
        parts = [f"{whole // _MINUTE} min"]
    elif whole < _DAY:
        parts = [f"{whole // _HOUR} h", f"{whole % _HOUR // _MINUTE} min"]
    else:
        parts = [f"{whole // _DAY} d", f"{whole % _DAY // _HOUR} h"]
    return " ".join(parts).replace(" ", _JOINED)


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was, or in how long it is, in its largest unit."""
    seconds = (now - moment).total_seconds()
    size = abs(seconds)
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if size >= unit:
            text = f"{int(size // unit)} {name}"
            break
    else:
        text = f"{int(size)} s"
    return f"{text} ago" if seconds >= 0 else f"in {text}"


def clock(moment: datetime) -> str:
    """Return the time of the day, in UTC."""
    return f"{moment:%H:%M:%S}"


def stamp(moment: datetime) -> str:
    """Return a moment, in UTC, for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def short(job_id: str) -> str:
    """Return the beginning of an id."""
    return job_id if len(job_id) <= _ID_SHOWN else f"{job_id[:_ID_SHOWN]}…"


def title(job: Job) -> str:
    """Return what a job is called: its name, else its commit, else its type.

    It is the text of a link, so a name or a commit that shows nothing does not count.
    """
    message = job.git.commit_message if job.git is not None else None
    for text in (job.metadata.get(_NAME), message):
        if (line := _first_line(text or "")) is not None:
            return clipped(line, 80)
    return job.job_type


def _first_line(text: str) -> str | None:
    """Return the first line that shows something; None: there is none."""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if any(map(_is_shown, line))), None)


def _is_shown(character: str) -> bool:
    return character.isprintable() and not character.isspace()


def clipped(text: str, most: int = 160) -> str:
    """Return at most so many characters of a text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def as_json(value: object) -> str:
    """Return a value as JSON for people, cut where it is long."""
    return clipped(json.dumps(_plain(value), indent=2, ensure_ascii=False), MOST_TEXT)


def number(value: float | None) -> str:
    """Return a number with thin spaces between its thousands; None is a dash."""
    return NOTHING if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(value: float | None) -> str:
    """Return a part, 0 to 1, in percent; None is a dash."""
    return NOTHING if value is None else f"{value * 100:.1f} %"


def _plain(value: object) -> Any:
    return to_json(value)
