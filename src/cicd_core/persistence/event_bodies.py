"""How an event becomes the bytes of an entry of the log, and comes back.

A body is a JSON array: the type, the instant (microseconds since the epoch), and the data. The
entry itself has the subject. The types of jobs, the names of their data, their states and their
priorities are written by short ids, everything else whole, behind a dot. Stamps are microseconds
after the instant. The first version wrote objects with full names, which are read as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import CorruptRecord
from cicd_core.model.choices import text_of
from cicd_core.model.event import Event
from cicd_core.model.instants import from_micros, to_micros
from cicd_core.model.job import JobState, Priority
from cicd_core.persistence.field_ids import STATE_CODES
from cicd_core.persistence.json_bytes import dump_json, load_json

if TYPE_CHECKING:
    from cicd_core.model.event import EventDraft
    from cicd_core.store.records import LogEntry

#: The id of each type that is frequent. An id is for ever.
TYPE_IDS: Final = {
    "job.created": "c",
    "job.enqueued": "e",
    "job.promoted": "p",
    "job.claimed": "l",
    "job.started": "b",
    "job.progress": "g",
    "job.succeeded": "s",
    "job.failed": "f",
    "job.timed_out": "t",
    "job.errored": "r",
    "job.retried": "y",
    "job.released": "u",
    "job.lease_expired": "x",
    "job.dead_lettered": "d",
    "job.replayed": "a",
    "job.cancel_requested": "q",
    "job.cancelled": "n",
    "job.reprioritised": "o",
}
#: The id of each name in the data of those.
NAME_IDS: Final = {
    "actor": "a",
    "attempt": "n",
    "attempts": "m",
    "exit_code": "x",
    "fence": "k",
    "from": "f",
    "job_type": "j",
    "message": "g",
    "percent": "c",
    "pool": "p",
    "priority": "y",
    "ran": "d",
    "reason": "r",
    "stamp": "s",
    "to": "t",
    "tracked": "w",
    "verdict": "v",
}
#: The id of each state and priority.
WORD_IDS: Final = {
    **{state.value: code for state, code in STATE_CODES[JobState].items()},
    **{text_of(each): f"p{each.value}" for each in Priority},
}
_TYPES: Final = {short: name for name, short in TYPE_IDS.items()}
_NAMES: Final = {short: name for name, short in NAME_IDS.items()}
_WORDS: Final = {short: word for word, short in WORD_IDS.items()}
#: The names of states and priorities in the data, and of stamps; a fence is nearly always a stamp.
_HAS_WORD: Final = {name: NAME_IDS[name] for name in ("from", "to", "verdict", "priority")}
_HAS_STAMP: Final = {name: NAME_IDS[name] for name in ("fence", "stamp")}
_PLAIN: Final = {
    name: short for name, short in NAME_IDS.items() if name not in {*_HAS_WORD, *_HAS_STAMP}
}


def encode_event(draft: EventDraft) -> bytes:
    """Return the body of an event in the log."""
    at = to_micros(draft.at)
    data: dict[str, Any] = {}
    nulls = 0
    for name, value in draft.data.items():  # the frequent cases first: each event comes by here
        if name in _PLAIN:
            data[_PLAIN[name]] = value
            if value is None:
                nulls += 1
        elif name in _HAS_WORD and isinstance(value, str):
            data[_HAS_WORD[name]] = WORD_IDS.get(value) or f".{value}"
        elif name in _HAS_STAMP and type(value) is int:
            data[_HAS_STAMP[name]] = value - at
        else:
            data[NAME_IDS.get(name) or f".{name}"] = value
    return dump_json([TYPE_IDS.get(draft.type) or f".{draft.type}", at, data], nulls=nulls)


def decode_event(entry: LogEntry) -> Event:
    """Return the event of an entry of the log.

    Raises:
        CorruptRecord: its bytes are not an event.
    """
    try:
        raw: Any = load_json(entry.body)
        kind, at, data = _with_full_names(raw) if entry.body[:1] == b"{" else _with_ids(*raw)
        return Event(
            subject=(entry.collection, entry.key),
            version=entry.version,
            ordinal=entry.ordinal,
            type=kind,
            at=from_micros(at),
            data=data,
        )
    except Exception as broken:  # corrupt bytes may raise any error
        raise CorruptRecord("log", f"{entry.collection}/{entry.key}", str(broken)) from broken


def _with_full_names(raw: dict[str, Any]) -> tuple[str, int, dict[str, Any]]:
    return raw["t"], raw["at"], raw["d"]


def _with_ids(kind: str, at: int, data: dict[str, Any]) -> tuple[str, int, dict[str, Any]]:
    named = ((_long(short, _NAMES), value) for short, value in data.items())
    return _long(kind, _TYPES), at, {name: _value(name, value, at) for name, value in named}


def _long(short: str, table: dict[str, str]) -> str:
    """Return what an id stands for; the id itself, if it is a newer library's."""
    return short[1:] if short.startswith(".") else table.get(short, short)


def _value(name: str, value: Any, at: int) -> Any:
    if type(value) is str and name in _HAS_WORD:
        return _long(value, _WORDS)
    if type(value) is int and name in _HAS_STAMP:
        return value + at
    return value
