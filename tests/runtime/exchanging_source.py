"""The work source of the tests, with the optional verb that takes several reports and a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.errors import CicdError
from cicd_core.model.claim import ClaimedJob, ClaimRequest, Exchanged
from tests.runtime.fake_source import FakeSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.model.outcome import Outcome


class ExchangingSource(FakeSource):
    """A source whose queue is across a network, say."""

    exchange_from = 1

    async def exchange(
        self, ends: Sequence[tuple[ClaimedJob, Outcome]], claim: ClaimRequest | None = None
    ) -> Exchanged:
        jobs = [claimed.job.job_id for claimed, _ in ends]
        async with self._called("exchange", jobs=jobs, claim=claim):
            errors = [await self._error_of(claimed, outcome) for claimed, outcome in ends]
            claims: list[ClaimedJob] = []
            refusal: CicdError | None = None
            if claim is not None:
                try:
                    claims = await self.claim(**claim.arguments())
                except CicdError as refused:
                    refusal = refused
            return Exchanged(tuple(errors), tuple(claims), refusal)

    async def _error_of(self, claimed: ClaimedJob, outcome: Outcome) -> CicdError | None:
        try:
            await self.complete(claimed, outcome)
        except CicdError as refused:
            return refused
        return None
