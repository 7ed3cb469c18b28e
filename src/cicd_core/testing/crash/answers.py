"""The parts of answers that a worker records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core.model.claim import ClaimedJob, ClaimRef
from cicd_core.model.instants import SECOND
from cicd_core.testing.crash.calls import Ending, LabAnswer

if TYPE_CHECKING:
    from cicd_core.model.claim import LeaseStatus
    from cicd_core.model.job import Job


def granted(claimed: ClaimedJob, asked: int | None) -> list[Any]:
    """Return the grants of a claim requested at ``asked``: see :func:`_promised`."""
    token = claimed.token
    expires = _promised(claimed, asked)
    return [claimed.job.job_id, token.fence, token.claim_id, claimed.version, expires]


def owner(claimed: ClaimedJob | ClaimRef) -> dict[str, Any]:
    """Return the job of a token, and the token."""
    job_id = claimed.job_id if isinstance(claimed, ClaimRef) else claimed.job.job_id
    return {"job": job_id, "fence": claimed.token.fence}


def outcome(answer: ClaimedJob | Job, asked: int | None) -> dict[str, Any]:
    """Return the parts of an answer to a token's holder that the audit needs."""
    expires = _promised(answer, asked) if isinstance(answer, ClaimedJob) else None
    state = getattr(answer, "state", None)
    details = {} if state is None else {"state": state.value}
    return details if expires is None else {**details, "expires": expires}


def _promised(claimed: ClaimedJob, asked: int | None) -> int | None:
    """Return the end of the holder's ownership, on the store's steady clock (µs).

    With ``asked``, the instant of the call, it follows from the seconds in the answer; otherwise
    from the lease itself.
    """
    if asked is not None:
        return asked + int(claimed.seconds_left * SECOND)
    lease = getattr(claimed.basis, "lease", None)
    return None if lease is None else int(lease.expires)


def renewed(status: LeaseStatus, asked: int) -> dict[str, Any]:
    """Return the promise of a renewal requested at ``asked`` (µs)."""
    left = status.seconds_left
    return {"held": status.held, "expires": None if left is None else asked + int(left * SECOND)}


def failed(ending: Ending, error: Exception) -> LabAnswer:
    """Return the answer of a call that raised an error."""
    details = {"error": type(error).__name__, "text": str(error)[:300]}
    return LabAnswer(ending=ending, details=details)


def nothing(_: Any) -> dict[str, Any]:
    """Return an empty record: the audit needs no part of the answer."""
    return {}
