"""The edges of an agent's state machine, as data. Nothing else in the library repeats them."""

from __future__ import annotations

from typing import Final

from cicd_core.lifecycle.table import TransitionTable, edges_of
from cicd_core.model.agent import AgentStatus

_S = AgentStatus

#: The statuses that a heartbeat can lead to.
_HEALTH = (_S.HEALTHY, _S.DEGRADED, _S.UNHEALTHY)
_BEATING = (_S.REGISTERING, *_HEALTH)
#: Neither draining nor gone for good.
_STAYING = (*_BEATING, _S.OFFLINE)

AGENT_TABLE: Final = TransitionTable(
    kind="agent",
    initial=(_S.REGISTERING,),
    edges=(
        # A new incarnation: the process, or the whole machine, was started again.
        *edges_of("register", *((source, (_S.REGISTERING,)) for source in _S)),
        *edges_of(
            "heartbeat",
            *((source, _HEALTH) for source in _STAYING),
            (_S.TERMINATING, (_S.TERMINATING,)),
        ),
        *edges_of("set_status", *((source, (*_HEALTH, _S.OFFLINE)) for source in _STAYING)),
        *edges_of(
            "drain",
            *((source, (_S.TERMINATING,)) for source in _STAYING),
            (_S.TERMINATING, (_S.TERMINATING,)),
        ),
        *edges_of("deregister", *((source, (_S.TERMINATED,)) for source in _S)),
        # An agent that was draining, and is silent now, has left.
        *edges_of(
            "mark_offline",
            *((source, (_S.OFFLINE,)) for source in _STAYING),
            (_S.TERMINATING, (_S.TERMINATED,)),
            (_S.TERMINATED, (_S.TERMINATED,)),
        ),
    ),
)
