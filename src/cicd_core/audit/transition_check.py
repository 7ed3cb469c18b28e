"""The state change in an event, and whether the table of its kind allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.entities import MAPPINGS
from cicd_core.model.job import FINAL_STATES, JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.lifecycle.table import TransitionTable
    from cicd_core.model.event import Event

#: The states of held jobs, and the final states, as events name them.
HELD: Final = frozenset({JobState.CLAIMED.value, JobState.RUNNING.value})
FINAL: Final = frozenset(state.value for state in FINAL_STATES)

#: Events that keep the state, and their commands.
_NOTES: Final[Mapping[str, str]] = {
    "job.promoted": "promote",
    "job.progress": "progress",
    "job.cancel_requested": "request_cancel",
    "job.reprioritised": "reprioritise",
    "deployment.metrics": "record_metrics",
}
#: The first events of entities without states.
_STATELESS_BIRTHS: Final = frozenset[str]().union(*(mapping.births for mapping in MAPPINGS))

#: The last events of entities whose records are deleted.
DELETIONS: Final = frozenset[str]().union(*(mapping.deletions for mapping in MAPPINGS))

#: The collections whose records may be written without an event.
QUIET: Final = frozenset(
    mapping.collection.name for mapping in MAPPINGS if mapping.has_quiet_writes
)


class Steps:
    """The legal steps of a kind of entity, by the state names in events."""

    def __init__(self, table: TransitionTable[Any]) -> None:
        self._initial = frozenset(state.value for state in table.initial)
        self._moves = frozenset((edge.source.value, edge.target.value) for edge in table.edges)
        self._commands = frozenset((item.command, item.source.value) for item in table.edges)

    def refusal(self, event: Event, state: str | None) -> str | None:
        """Return why the event can't follow ``state``, None if it can.

        Args:
            event: of an entity of this kind.
            state: the state after the earlier events; None if the log does not have it.
        """
        command = _NOTES.get(event.type)
        if command is not None:
            legal = state is None or (command, state) in self._commands
            return None if legal else f"{event.type} in state {state}"
        source, target = states_of(event)
        if source is None:
            return None if target in self._initial else f"{event.type} begins in {target}"
        if state is not None and source != state:
            return f"{event.type} leaves {source}, but the state was {state}"
        if (source, target) not in self._moves:
            return f"{event.type} goes from {source} to {target}, but no command does that"
        return None


#: By collection; entities of other collections have no states.
STEPS: Final[Mapping[str, Steps]] = {
    mapping.collection.name: Steps(mapping.table)
    for mapping in MAPPINGS
    if mapping.table is not None
}


def states_of(event: Event) -> tuple[str | None, str | None]:
    """Return the old and the new state of an event; None for no state."""
    if event.type in _NOTES:
        return None, None
    source, target = event.data.get("from"), event.data.get("to")
    return (
        source if isinstance(source, str) else None,
        target if isinstance(target, str) else None,
    )


def is_birth(event: Event) -> bool:
    """Return whether the event is the first one of its subject."""
    if event.type in _STATELESS_BIRTHS:
        return True
    source, target = states_of(event)
    return source is None and target is not None
