"""The edges of a job's state machine, as data. Nothing else in the library repeats them."""

from __future__ import annotations

from typing import Final

from cicd_core.lifecycle.table import TransitionTable, edges_of
from cicd_core.model.job import JobState

_S = JobState

#: The states that an attempt may lead to when it ends without a final verdict.
_AGAIN = (_S.QUEUED, _S.DEAD_LETTERED, _S.CANCELLED)

JOB_TABLE: Final = TransitionTable(
    kind="job",
    initial=(_S.PENDING,),
    edges=(
        *edges_of("submit", (_S.PENDING, (_S.QUEUED,))),
        *edges_of("promote", (_S.QUEUED, (_S.QUEUED,))),
        # A claim may start the job at once: then the grant carries both events.
        *edges_of("claim", (_S.QUEUED, (_S.CLAIMED, _S.RUNNING))),
        # A start after the deadline ends the job instead.
        *edges_of("start", (_S.CLAIMED, (_S.RUNNING, _S.TIMEOUT))),
        *edges_of("renew", (_S.CLAIMED, (_S.CLAIMED,)), (_S.RUNNING, (_S.RUNNING,))),
        *edges_of("progress", (_S.RUNNING, (_S.RUNNING,))),
        # Handlers run only after an acknowledged start: before it they can report no verdict.
        *edges_of("complete", (_S.RUNNING, (_S.SUCCESS, _S.FAILED, *_AGAIN))),
        *edges_of("time_out", (_S.RUNNING, (_S.TIMEOUT, *_AGAIN))),
        *edges_of("fail", (_S.CLAIMED, (_S.ERROR, *_AGAIN)), (_S.RUNNING, (_S.ERROR, *_AGAIN))),
        *edges_of("release", (_S.CLAIMED, _AGAIN), (_S.RUNNING, (_S.ERROR, *_AGAIN))),
        *edges_of(
            "expire_lease",
            (_S.CLAIMED, (_S.TIMEOUT, *_AGAIN)),
            (_S.RUNNING, (_S.TIMEOUT, _S.ERROR, *_AGAIN)),
        ),
        *edges_of(
            "expire_deadline",
            (_S.PENDING, (_S.TIMEOUT,)),
            (_S.QUEUED, (_S.TIMEOUT,)),
            (_S.CLAIMED, (_S.TIMEOUT,)),
        ),
        # A running job has a holder: its cancel is a request, and the holder confirms it.
        *edges_of(
            "cancel",
            (_S.PENDING, (_S.CANCELLED,)),
            (_S.QUEUED, (_S.CANCELLED,)),
            (_S.CLAIMED, (_S.CANCELLED,)),
            (_S.RUNNING, (_S.CANCELLED,)),
            (_S.DEAD_LETTERED, (_S.CANCELLED,)),
        ),
        *edges_of("request_cancel", (_S.RUNNING, (_S.RUNNING,))),
        *edges_of("confirm_cancel", (_S.RUNNING, (_S.CANCELLED,))),
        *edges_of("replay", (_S.DEAD_LETTERED, (_S.QUEUED,))),
        *edges_of(
            "reprioritise",
            *((state, (state,)) for state in (_S.PENDING, _S.QUEUED, _S.CLAIMED, _S.RUNNING)),
            (_S.DEAD_LETTERED, (_S.DEAD_LETTERED,)),
        ),
        # A tracked run: something else executes it, and only reports to us.
        *edges_of(
            "record",
            (_S.PENDING, (_S.RUNNING, _S.SUCCESS, _S.FAILED, _S.ERROR)),
            (_S.RUNNING, (_S.SUCCESS, _S.FAILED, _S.TIMEOUT, _S.ERROR, _S.CANCELLED)),
        ),
    ),
)
