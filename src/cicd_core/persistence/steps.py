"""The steps of a history as arrays: ``[target, at, actor, reason]``.

0 stands for an actor or a reason that is that of the step before. Where there is more to say, an
object follows: the source, if it is not the target of the step before (``""``: there is none), and
what a newer library says of the step.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cicd_core.model.instants import from_micros, to_micros
from cicd_core.persistence.field_ids import STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: Where the object with the rest stands.
REST: Final = len(STEP)
_SOURCE: Final = "s"
_SAME: Final = 0


def write(codes: Mapping[Any, str], history: Iterable[Any]) -> list[list[Any]]:
    """Return the steps of a history as arrays; ``codes`` are those of its states."""
    written: list[list[Any]] = []
    state = actor = reason = None
    for step in history:
        array = [
            codes[step.target],
            to_micros(step.at),
            _SAME if step.actor == actor else step.actor,
            _SAME if step.reason == reason else step.reason,
        ]
        if step.source is not state:
            array.append({_SOURCE: "" if step.source is None else codes[step.source]})
        state, actor, reason = step.target, step.actor, step.reason
        written.append(array)
    return written


def reader(kind: Any, codes: Mapping[Any, str]) -> Callable[[Any, Any], Any]:
    """Return the function that reads what :func:`write` wrote of a class of steps."""
    members = {code: state for state, code in codes.items()}
    return partial(_read, kind, members)


def _read(
    kind: Any, members: Mapping[str, Any], raw: Iterable[Sequence[Any]], _: object
) -> tuple[Any, ...]:
    found: list[Any] = []
    state = actor = reason = None
    for array in raw:
        target, at, said_by, said = array[:REST]
        source = state
        if len(array) > REST and _SOURCE in array[REST]:
            code = array[REST][_SOURCE]
            source = members[code] if code else None
        state = members[target]
        actor = actor if said_by == _SAME else said_by
        reason = reason if said == _SAME else said
        if not (isinstance(actor, str) and isinstance(reason, str)):
            raise TypeError(f"{actor!r} or {reason!r} is not a text")
        found.append(
            kind(source=source, target=state, at=from_micros(at), actor=actor, reason=reason)
        )
    return tuple(found)


def rest_of(array: Sequence[Any]) -> dict[str, Any]:
    """Return the object with the rest of a step: an empty one if the array has none."""
    rest: dict[str, Any] = array[REST] if len(array) > REST else {}
    return rest
