"""Calls of the services as operations: the arguments, and the parts of the answers to keep."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import field

from cicd_core.model.claim import ClaimedJob, ClaimRef, LeaseStatus
from cicd_core.model.instants import SECOND
from cicd_core.testing.recording.operation import Operation, Unknown
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.model.job import Job


class Ending(StrEnum):
    """The result of a call."""

    ACKNOWLEDGED = "acknowledged"
    #: An error that guarantees that nothing was done.
    REFUSED = "refused"
    #: The effect is unknown: the store was unavailable, or the caller was killed.
    UNKNOWN = "unknown"
    #: An unexpected error.
    BROKEN = "broken"
    #: Not a call: an injected fault.
    HAPPENED = "happened"


@frozen(kw_only=True)
class ServiceCall:
    """The arguments of a call; for an injected fault, its kind."""

    verb: str
    details: dict[str, Any]


@frozen(kw_only=True)
class ServiceAnswer:
    """The result of a call, and its answer; for a refusal or failure, the error's name and text."""

    ending: Ending = field(converter=Ending)
    details: dict[str, Any]


ServiceOperation: TypeAlias = Operation[ServiceCall, ServiceAnswer]

_NO_ANSWER: Final = ServiceAnswer(ending=Ending.UNKNOWN, details={})


def answer_to(operation: ServiceOperation) -> ServiceAnswer:
    """Return the result of a call; without an answer it is unknown."""
    return _NO_ANSWER if isinstance(operation.result, Unknown) else operation.result


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
    """Return the parts of an answer to a token's holder that the oracle needs."""
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


def failed(ending: Ending, error: Exception) -> ServiceAnswer:
    """Return the answer of a call that raised an error."""
    details = {"error": type(error).__name__, "text": str(error)[:300]}
    return ServiceAnswer(ending=ending, details=details)


def nothing(_: Any) -> dict[str, Any]:
    """Return an empty record: the oracle needs no part of the answer."""
    return {}
