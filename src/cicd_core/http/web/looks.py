"""The display of values: texts of instants and durations, and a shape for each status."""

from __future__ import annotations

import json
from http import HTTPStatus
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from cicd_core.public_json import to_json

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cicd_core.model.job import Job

#: The text for a missing value.
NOTHING: Final = "\N{EN DASH}"
#: Between a number and its unit, so that a line does not end there.
_JOINED: Final = "\N{NO-BREAK SPACE}"
#: The shortest duration that is shown, in seconds.
_LEAST: Final = 0.1
#: Tenths are shown below so many seconds.
_EXACT: Final = 10
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
#: Number of characters of an id in a table: enough to find it, and to tell ids apart.
_ID_SHOWN: Final = 14
#: The field of a job's metadata with its name.
_NAME: Final = "name"
#: Maximum number of characters of a payload, and of other texts, on a page.
MOST_TEXT: Final = 8_000

#: The class of each status: its colour, and a shape for those who can't see the colour.
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
#: The titles of refusals, by HTTP status.
_REFUSALS: Final = {
    400: "That can't be read",
    401: "Log in first",
    403: "You may not do that",
    404: "Not found",
    405: "That can't be done here",
    409: "That is not possible now",
    413: "That is too large",
    422: "Something is filled in wrong",
    500: "The server failed",
    503: "The store did not answer",
}
#: The text for a status, if it is not the status itself.
_WORDS: Final = {
    "dead_lettered": "dead letter",
    "rolled_back": "rolled back",
    "terminating": "draining",
}


def refusal(status: int) -> str:
    """Return the title of a page for a refusal."""
    return _REFUSALS.get(status, HTTPStatus(status).phrase)


def tone(status: object) -> str:
    """Return the class of a status."""
    return TONES.get(str(status), "off")


def word(status: object) -> str:
    """Return the text for a status."""
    return _WORDS.get(str(status), str(status).replace("_", " "))


def duration(value: float | timedelta | None) -> str:
    """Return a duration for people, such as ``2 h 5 min``; None is a dash.

    Seconds are omitted from ten minutes on. The shortest text is "under 0.1 s".
    """
    if value is None:
        return NOTHING
    seconds = value if isinstance(value, int | float) else value.total_seconds()
    whole = round(seconds)
    if seconds < _LEAST / 2:
        parts = [f"under {_LEAST} s"]
    elif seconds < _EXACT:
        parts = [f"{seconds:.1f} s"]
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
    """Return the time since or until an instant, in its largest unit."""
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
    """Return the time of day, in UTC."""
    return f"{moment:%H:%M:%S}"


def day(moment: datetime) -> str:
    """Return the day, in UTC."""
    return f"{moment:%Y-%m-%d}"


def stamp(moment: datetime) -> str:
    """Return an instant, in UTC, for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def short(job_id: str) -> str:
    """Return the start of an id."""
    return job_id if len(job_id) <= _ID_SHOWN else f"{job_id[:_ID_SHOWN]}…"


def title(job: Job) -> str:
    """Return the title of a job: its name, else its commit, else its type.

    It is the text of a link, so a name or a commit without visible characters is skipped.
    """
    message = job.git.commit_message if job.git is not None else None
    for text in (job.metadata.get(_NAME), message):
        if (line := _first_line(text or "")) is not None:
            return clipped(line, 80)
    return job.job_type


def _first_line(text: str) -> str | None:
    """Return the first line with visible characters; None: there is none."""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if any(map(_is_shown, line))), None)


def _is_shown(character: str) -> bool:
    return character.isprintable() and not character.isspace()


def clipped(text: str, most: int = 160) -> str:
    """Return a text, cut to a maximum number of characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def as_json(value: object) -> str:
    """Return a value as JSON for people, cut if it is long."""
    return clipped(json.dumps(_plain(value), indent=2, ensure_ascii=False), MOST_TEXT)


def number(value: float | None) -> str:
    """Return a number with thin spaces between its thousands; None is a dash."""
    return NOTHING if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(value: float | None) -> str:
    """Return a share, 0 to 1, in percent; None is a dash."""
    return NOTHING if value is None else f"{value * 100:.1f} %"


def shell_word(text: str) -> str:
    """Return a text quoted as one word of a shell command: a caller may choose the host name."""
    return quote(text)


def _plain(value: object) -> Any:
    return to_json(value)
