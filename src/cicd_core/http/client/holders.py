"""Requests of jobs' holders, and the answer to several of them together."""

from __future__ import annotations

from typing import Any

from cicd_core.errors import CicdError, InvalidInput, OperationRejected
from cicd_core.http.wire.problems import error_of
from cicd_core.http.wire.values import (
    asked_to_wire,
    claim_from_wire,
    part_of,
    reference_of,
    reference_to_wire,
)
from cicd_core.model.checks import check_kind, check_name
from cicd_core.model.claim import ClaimedJob, ClaimRef, Exchanged
from cicd_core.model.job import LeaseToken
from cicd_core.model.outcome import Outcome


def reference_shown(claimed: ClaimedJob | ClaimRef, field: str = "claimed") -> ClaimRef:
    """Return the claim reference that is sent for a claimed job.

    Raises:
        InvalidInput: it is something else.
    """
    check_kind(field, claimed, ClaimedJob, ClaimRef)
    check_kind(f"{field}.token", claimed.token, LeaseToken)
    reference = reference_of(claimed)
    check_name(f"{field}.job_id", reference.job_id)
    return reference


def end_to_wire(end: tuple[ClaimedJob | ClaimRef, Outcome], position: int) -> dict[str, Any]:
    """Return the JSON of a claimed job and its outcome.

    Raises:
        InvalidInput: it is something else.
    """
    field = f"ends[{position}]"
    match end:
        case (claimed, outcome):
            check_kind(f"{field}.outcome", outcome, Outcome)
            reference = reference_shown(claimed, f"{field}.claimed")
            return {**reference_to_wire(reference), "outcome": asked_to_wire(outcome)}
        case _:
            raise InvalidInput(field, end, "give a claimed job with its outcome")


def exchanged_from_wire(answer: object) -> Exchanged:
    """Return the answer to an exchange.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    return Exchanged(
        errors=tuple(_error_of(each) for each in part_of(answer, "ends", list[Any])),
        claims=tuple(claim_from_wire(each) for each in part_of(answer, "claims", list[Any])),
        claim_error=_error_of(part_of(answer, "claim")),
    )


def _error_of(result: object) -> CicdError | None:
    """Return the error in the result of an end, or of the claim; None: it was not refused."""
    problem = part_of(result, "problem", dict[str, Any] | None)
    if problem is None:
        return None
    return error_of(problem) or OperationRejected(str(problem.get("detail", "the server refused")))
