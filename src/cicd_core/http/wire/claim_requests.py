"""The bodies of claims and exchanges; an exchange ends attempts and claims jobs in one request."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from cicd_core.http.wire.requests import Asked, CompleteBody, Label, Limit, Name
from cicd_core.model.claim import MAX_ENDS, ClaimRef, ClaimRequest
from cicd_core.model.outcome import Outcome


class ClaimRequestBody(Asked):
    """A claim that does not wait for work; the fields of ``ClaimRequest``."""

    agent_id: Name
    pool_name: Name = "default"
    labels: tuple[Name, ...] = ()
    job_types: tuple[Name, ...] | None = None
    limit: Limit = 1
    start: bool = False
    lease_seconds: float | None = None
    request_id: Label | None = None


class ClaimBody(ClaimRequestBody):
    """A claim; the arguments of ``queue.claim``."""

    wait: float = 0.0


class EndBody(CompleteBody, kw_only=True):
    """The end of one attempt."""

    job_id: Name


class ExchangeBody(Asked):
    """The attempts that end, and what to claim; the arguments of ``queue.exchange``."""

    ends: Annotated[list[EndBody], Meta(extra_json_schema={"maxItems": MAX_ENDS})]
    claim: ClaimRequestBody | None = None

    def pairs(self, agent_id: str | None) -> list[tuple[ClaimRef, Outcome]]:
        """Return the ends as values of the library; ``agent_id`` is the calling agent."""
        return [(each.reference(each.job_id, agent_id), each.outcome.value()) for each in self.ends]

    def request(self) -> ClaimRequest | None:
        """Return the claim as a value of the library; None: nothing is claimed."""
        return None if self.claim is None else ClaimRequest(**self.claim.fields())


class Result(Struct):
    """The result of one end, or of the claim: the problem of its refusal, or null."""

    problem: dict[str, Any] | None = None
