"""The changes that holders ask for: each checks its lease, and several make one list of commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from cicd_core.control_plane.lease_owners import require_owner
from cicd_core.control_plane.shown_claims import basis_of, job_id_of, token_of
from cicd_core.errors import CicdError, InvalidInput, LeaseLost, NotFound, TooLarge
from cicd_core.lifecycle import leases
from cicd_core.model.checks import check_kind
from cicd_core.model.claim import MAX_ENDS, ClaimedJob, ClaimRef
from cicd_core.model.job import Job
from cicd_core.model.outcome import Outcome
from cicd_core.persistence.change_lists import Change, change_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository

#: A claim, and the change that ends its attempt.
Completion: TypeAlias = tuple[ClaimedJob | ClaimRef, Change[Job]]
#: The parts of an end: a claimed job, and its outcome.
_PAIR: Final = 2


def change_of(
    claimed: ClaimedJob | ClaimRef, decide: Callable[[Job, datetime, int], Decision[Job]]
) -> Change[Job]:
    """Return the change that a holder asks for; it refuses the lease of another agent."""

    def decide_for_owner(job: Job, now: datetime, steady: int) -> Decision[Job]:
        require_owner(job, claimed)
        return decide(job, now, steady)

    return Change(key=job_id_of(claimed), decide=decide_for_owner, before=basis_of(claimed))


def lost_with(claimed: ClaimedJob | ClaimRef) -> LeaseLost:
    """Return the error of a holder whose job is gone: its lease is lost."""
    return LeaseLost(job_id_of(claimed), claimed.token.fence, "the job no longer exists")


def completion_of(claimed: ClaimedJob | ClaimRef, outcome: Outcome, field: str = "") -> Change[Job]:
    """Return the change that ends an attempt.

    Raises:
        InvalidInput: there is no token, or the outcome is none; ``field`` is their common path.
    """
    check_kind(f"{field}outcome", outcome, Outcome)
    token = token_of(claimed, f"{field}claimed")
    return change_of(
        claimed,
        lambda job, now, steady: leases.complete(job, token, outcome, now=now, steady=steady),
    )


def completions_of(
    ends: Sequence[tuple[ClaimedJob | ClaimRef, Outcome]],
) -> list[Completion]:
    """Return the changes that end several attempts.

    Raises:
        InvalidInput: they are something else than claims with outcomes.
        TooLarge: there are too many.
    """
    if isinstance(ends, str | bytes | Mapping) or not isinstance(ends, Iterable):
        raise InvalidInput("ends", ends, "give a list of claimed jobs with their outcomes")
    pairs = list(ends)
    if len(pairs) > MAX_ENDS:
        raise TooLarge("ends", len(pairs), MAX_ENDS, "ends")
    for position, pair in enumerate(pairs):
        if not isinstance(pair, tuple) or len(pair) != _PAIR:
            raise InvalidInput(f"ends[{position}]", pair, "give a claimed job with its outcome")
    return [
        (claimed, completion_of(claimed, outcome, f"ends[{position}]."))
        for position, (claimed, outcome) in enumerate(pairs)
    ]


async def end_each(
    context: Context, repository: Repository[Job], completions: Sequence[Completion]
) -> list[CicdError | None]:
    """End each attempt, and return why one was refused, in the order given; None: it counts.

    Raises:
        StoreError: the store failed; whether the ends took effect is unknown.
    """
    results = await change_each(context, repository, [change for _, change in completions])
    return [
        _error_in(result, claimed)
        for (claimed, _), result in zip(completions, results, strict=True)
    ]


def _error_in(result: Loaded[Job] | CicdError, claimed: ClaimedJob | ClaimRef) -> CicdError | None:
    """Return why an end was refused; a missing job is a lost lease to its holder."""
    if isinstance(result, NotFound):
        return lost_with(claimed)
    return result if isinstance(result, CicdError) else None
