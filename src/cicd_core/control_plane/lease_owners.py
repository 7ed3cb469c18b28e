"""Checks of lease owners: a reference that names another agent than the holder is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.model.claim import ClaimedJob, ClaimRef
from cicd_core.model.principal import NotPermitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.model.job import Job
    from cicd_core.persistence.repository import Repository

#: Number of claims cached between their renewals.
_REMEMBERED: Final = 16_384


def require_owner(job: Job, claimed: ClaimedJob | ClaimRef) -> bool:
    """Check that the agent of a reference made the claim of its token.

    Returns:
        Whether the job knows that claim. If it does not, the token owns nothing, and the next
        decision rejects it.

    Raises:
        NotPermitted: another agent made the claim.
    """
    if isinstance(claimed, ClaimedJob) or claimed.agent_id is None:
        return False
    owners = {each.agent_id for each in job.attempts if each.token == claimed.token}
    if not owners <= {claimed.agent_id}:
        reason = f"the lease token of job {job.job_id!r} belongs to another agent"
        raise NotPermitted(claimed.agent_id, reason)
    return bool(owners)


class LeaseOwners:
    """Checks the references of renewals, which read no job otherwise."""

    def __init__(self, repository: Repository[Job]) -> None:
        """Take the jobs' records."""
        self._repository = repository
        #: The agents of claims, by claim id; these never change.
        self._known: dict[str, str | None] = {}

    async def require(self, claims: Sequence[ClaimedJob | ClaimRef]) -> None:
        """Check each reference that names an agent, as :func:`require_owner` does.

        Cost: a read of the jobs whose claims this process has not checked before. A job that does
        not decode names no agent: a caller with its random claim id counts as its holder.

        Raises:
            NotPermitted: another agent made one of the claims.
        """
        named = [
            each for each in claims if isinstance(each, ClaimRef) and each.agent_id is not None
        ]
        unknown = [each for each in named if self._known.get(each.token.claim_id) != each.agent_id]
        found = await self._repository.get_readable([*{each.job_id: None for each in unknown}])
        for each in unknown:
            loaded = found.get(each.job_id)
            if loaded is not None and require_owner(loaded.value, each):
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[each.token.claim_id] = each.agent_id
