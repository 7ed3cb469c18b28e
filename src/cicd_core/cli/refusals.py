"""Refused transitions in the words of the command line, instead of those of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cicd_core.errors import IllegalTransition

#: The command line's word for a command of a state machine, if it has one.
WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "agent": {"drain": "drain", "deregister": "deregister", "set_status": "set-status"},
    "deployment": {
        "begin_staging": "stage",
        "record_staging": "staged",
        "begin_production": "production",
        "record_production": "live",
        "fail": "fail",
        "roll_back": "rollback",
        "record_metrics": "metrics",
    },
    "job": {"cancel": "cancel", "replay": "replay", "reprioritise": "reprioritise"},
}


def in_words(refused: IllegalTransition) -> str:
    """Return the message of a refused transition, with the words of the command line."""
    words = WORDS.get(refused.kind, {})
    said, _, _ = str(refused).partition("; legal from ")
    command = words.get(refused.command, refused.command)
    refusal = f"{refused.command!r} is not legal in that state"
    said = said.replace(refusal, f"{command} is not possible now")
    possible = [words[name] for name in refused.legal if name in words]
    if possible:
        return f"{said}; possible: {', '.join(possible)}"
    return f"{said}; it has ended" if not refused.legal else said
