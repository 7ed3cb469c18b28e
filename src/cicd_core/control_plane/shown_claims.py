"""Reads the claims that holders show: their job, their token, and the state of their lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cicd_core.control_plane.claiming import seconds_left
from cicd_core.model.checks import check_kind, check_name
from cicd_core.model.claim import ClaimedJob, ClaimRef, LeaseStatus
from cicd_core.model.instants import from_micros
from cicd_core.model.job import LeaseToken
from cicd_core.persistence.grants import Loaded
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.model.job import Job
    from cicd_core.store.records import Renewed, StoreTime


def token_of(claimed: ClaimedJob | ClaimRef, field: str = "claimed") -> LeaseToken:
    """Return the token of a claim.

    Raises:
        InvalidInput: there is no token.
    """
    check_kind(field, claimed, ClaimedJob, ClaimRef)
    check_kind(f"{field}.token", claimed.token, LeaseToken)
    check_name(f"{field}.job_id", job_id_of(claimed))
    return claimed.token


def basis_of(claimed: ClaimedJob | ClaimRef) -> Loaded[Job] | None:
    """Return the job's data at the claim, from this control plane or another one on the store."""
    basis = claimed.basis if isinstance(claimed, ClaimedJob) else None
    return cast("Loaded[Job]", basis) if isinstance(basis, Loaded) else None


def job_id_of(claimed: ClaimedJob | ClaimRef) -> str:
    """Return the id of the claimed job."""
    return claimed.job.job_id if isinstance(claimed, ClaimedJob) else claimed.job_id


def lease_status(
    claimed: ClaimedJob | ClaimRef,
    answer: Renewed | None,
    loaded: Loaded[Job] | None,
    time: StoreTime,
) -> LeaseStatus:
    """Return the result of a renewal.

    Args:
        claimed: the claim.
        answer: the store's answer; None: the lease is lost.
        loaded: the job, if another writer changed it after the holder.
        time: the store's time after the renewal.
    """
    if answer is None:
        return LeaseStatus(held=False)
    held = LeaseStatus(
        held=True,
        expires_at=from_micros(time.calendar_of(answer.expires)),
        seconds_left=seconds_left(answer.expires, answer.limit, time),
        at_limit=answer.expires >= answer.limit,
    )
    if loaded is None:
        return held
    if loaded.lease is None or loaded.value.token != claimed.token:
        return LeaseStatus(held=False)
    return evolve(
        held,
        cancel_requested=loaded.value.cancel_requested_at is not None,
        cancel_reason=loaded.value.cancel_reason,
    )
