"""The edges of a deployment's state machine, as data. Nothing else in the library repeats them."""

from __future__ import annotations

from typing import Final

from cicd_core.lifecycle.table import TransitionTable, edges_of
from cicd_core.model.deployment import DeploymentStatus

_S = DeploymentStatus

DEPLOYMENT_TABLE: Final = TransitionTable(
    kind="deployment",
    initial=(_S.PENDING,),
    edges=(
        *edges_of("begin_staging", (_S.PENDING, (_S.STAGING,))),
        # From pending it passes through staging: its history and its events show both steps.
        *edges_of(
            "record_staging",
            (_S.PENDING, (_S.STAGED, _S.FAILED)),
            (_S.STAGING, (_S.STAGED, _S.FAILED)),
        ),
        *edges_of("begin_production", (_S.STAGED, (_S.PRODUCTION,))),
        *edges_of("record_production", (_S.PRODUCTION, (_S.LIVE, _S.FAILED))),
        *edges_of(
            "fail",
            (_S.PENDING, (_S.FAILED,)),
            (_S.STAGING, (_S.FAILED,)),
            (_S.STAGED, (_S.FAILED,)),
            (_S.PRODUCTION, (_S.FAILED,)),
        ),
        # A failed one only if it had entered production: else there is nothing to roll back.
        *edges_of(
            "roll_back",
            (_S.PRODUCTION, (_S.ROLLED_BACK,)),
            (_S.LIVE, (_S.ROLLED_BACK,)),
            (_S.FAILED, (_S.ROLLED_BACK,)),
        ),
        *edges_of("record_metrics", (_S.PRODUCTION, (_S.PRODUCTION,)), (_S.LIVE, (_S.LIVE,))),
    ),
)
