"""What an event says of its subject's state, and whether the table of its kind allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.lifecycle.agent_table import AGENT_TABLE
from cicd_core.lifecycle.deployment_table import DEPLOYMENT_TABLE
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.job import FINAL_STATES, JobState
from cicd_core.persistence.collections import AGENTS, DEPLOYMENTS, JOBS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.lifecycle.table import TransitionTable
    from cicd_core.model.event import Event

#: The states of jobs that someone holds, and those that nothing leaves, as events name them.
HELD: Final = frozenset({JobState.CLAIMED.value, JobState.RUNNING.value})
FINAL: Final = frozenset(state.value for state in FINAL_STATES)

#: Events that tell of something within a state, and the command that each one is.
_NOTES: Final[Mapping[str, str]] = {
    "job.promoted": "promote",
    "job.progress": "progress",
    "job.cancel_requested": "request_cancel",
    "job.reprioritised": "reprioritise",
    "deployment.metrics": "record_metrics",
}
#: The first events of entities without states.
_STATELESS_BIRTHS: Final = frozenset({"pool.created", "session.created"})

#: The last events of entities whose records are removed on purpose.
DELETIONS: Final = frozenset({"pool.deleted"})


class Steps:
    """The legal steps of one kind of entity, as events tell them: by the names of states."""

    def __init__(self, table: TransitionTable[Any]) -> None:
        """Take them from the table."""
        self._initial = frozenset(state.value for state in table.initial)
        self._moves = frozenset((each.source.value, each.target.value) for each in table.edges)
        self._commands = frozenset((each.command, each.source.value) for each in table.edges)

    def refusal(self, event: Event, state: str | None) -> str | None:
        """Return why the event can't follow ``state``, None if it can.

        Args:
            event: of an entity of this kind.
            state: where the events before it led; None where the log does not say.
        """
        command = _NOTES.get(event.type)
        if command is not None:
            legal = state is None or (command, state) in self._commands
            return None if legal else f"{event.type} in state {state}"
        source, target = states_of(event)
        if source is None:
            return None if target in self._initial else f"{event.type} begins in {target}"
        if state is not None and source != state:
            return f"{event.type} leaves {source}, and the state was {state}"
        if (source, target) not in self._moves:
            return f"{event.type} goes from {source} to {target}, which no command does"
        return None


#: By collection; what is not in it has no states.
STEPS: Final[Mapping[str, Steps]] = {
    JOBS.name: Steps(JOB_TABLE),
    DEPLOYMENTS.name: Steps(DEPLOYMENT_TABLE),
    AGENTS.name: Steps(AGENT_TABLE),
}


def states_of(event: Event) -> tuple[str | None, str | None]:
    """Return the state that an event leaves and the one that it leads to; None for none."""
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
