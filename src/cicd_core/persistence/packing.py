"""What the body of a job leaves out because another part of it says the same.

Its instants and stamps are microseconds after its creation, its state is that of the last step of
its history, and of its last attempt it says only what the job itself does not say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, get_type_hints

from cicd_core.model.job import Attempt, Job, Progress
from cicd_core.persistence.field_ids import FIELD_IDS

_OF_JOB, _OF_ATTEMPT = FIELD_IDS[Job], FIELD_IDS[Attempt]
_CREATED: Final = _OF_JOB["created_at"]
_ATTEMPTS, _HISTORY = _OF_JOB["attempts"], _OF_JOB["history"]
_STATE, _PROGRESS = _OF_JOB["state"], _OF_JOB["progress"]
#: Where the state and the instant of a step stand in its array.
_STEP_TARGET, _STEP_AT = 0, 1
#: The stamps; a fence is nearly always one too.
_STAMPS: Final = frozenset({"queued_stamp", "paused_until", "claimed_stamp", "fence"})


def _moments(kind: Any) -> tuple[str, ...]:
    """Return the ids of the fields that hold an instant or a stamp."""
    hints = get_type_hints(kind)
    names = [name for name, hint in hints.items() if hint in {datetime, datetime | None}]
    return tuple(FIELD_IDS[kind][name] for name in [*names, *_STAMPS & hints.keys()])


_MOMENTS: Final = tuple(each for each in _moments(Job) if each != _CREATED)
_ATTEMPT_MOMENTS: Final = _moments(Attempt)
_PROGRESS_AT: Final = FIELD_IDS[Progress]["at"]
#: What every attempt says, and the job says too of the last one.
_SAID_TWICE: Final = tuple(
    (_OF_JOB[of_job], _OF_ATTEMPT[of_attempt])
    for of_job, of_attempt in (
        ("attempt", "number"),
        ("agent_id", "agent_id"),
        ("fence", "fence"),
        ("claim_id", "claim_id"),
        ("claimed_at", "claimed_at"),
    )
)


def pack_job(raw: dict[str, Any]) -> None:
    """Leave out of a job's JSON what :func:`unpack_job` puts back."""
    _shift(raw, -raw[_CREATED])
    history = raw.get(_HISTORY)
    if history and history[-1][_STEP_TARGET] == raw[_STATE]:
        del raw[_STATE]
    attempts = raw.get(_ATTEMPTS)
    if attempts:
        last = attempts[-1]
        for of_job, of_attempt in _SAID_TWICE:
            if of_job in raw and raw[of_job] == last[of_attempt]:
                del last[of_attempt]


def unpack_job(raw: dict[str, Any]) -> None:
    """Put back into a job's JSON what :func:`pack_job` left out."""
    history = raw.get(_HISTORY)
    if history and _STATE not in raw:
        raw[_STATE] = history[-1][_STEP_TARGET]
    attempts = raw.get(_ATTEMPTS)
    if attempts:
        last = attempts[-1]
        for of_job, of_attempt in _SAID_TWICE:
            if of_attempt not in last and of_job in raw:
                last[of_attempt] = raw[of_job]
    _shift(raw, raw[_CREATED])


def _shift(raw: dict[str, Any], micros: int) -> None:
    for name in _MOMENTS:
        if name in raw:
            raw[name] += micros
    for attempt in raw.get(_ATTEMPTS, ()):
        for name in _ATTEMPT_MOMENTS:
            if name in attempt:
                attempt[name] += micros
    for step in raw.get(_HISTORY, ()):
        step[_STEP_AT] += micros
    if _PROGRESS in raw:
        raw[_PROGRESS][_PROGRESS_AT] += micros
