"""Values on the wire: the JSON of :mod:`cicd_core.public_json`, and the few values with secrets.

Tokens of leases and incarnations of agents are omitted from every value. Only the answer that
issues one has it: see :func:`claim_to_wire` and :func:`registration_to_wire`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
from cattrs import Converter

from cicd_core.errors import InvalidInput, UnsupportedCapability
from cicd_core.model.choices import text_of
from cicd_core.model.claim import ClaimedJob, ClaimRef
from cicd_core.model.job import Job, LeaseToken, Priority
from cicd_core.public_json import from_json, to_json
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.model.agent import Agent

Value = TypeVar("Value")


def _asking() -> Converter:
    converter = Converter()
    converter.register_unstructure_hook(datetime, lambda value: value.astimezone(UTC).isoformat())
    converter.register_unstructure_hook(Priority, text_of)
    return converter


_ASKING: Final = _asking()


def asked_to_wire(value: object) -> Any:
    """Return the JSON of a request: only its fields, no derived properties."""
    return _ASKING.unstructure(value)


def from_wire(kind: type[Value], raw: object) -> Value:
    """Return the value in an answer; hidden fields are empty in it.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    try:
        return from_json(kind, raw)
    except InvalidInput as wrong:
        raise _other_form(str(wrong)) from wrong


def values_from_wire(kind: type[Value], raw: object) -> list[Value]:
    """Return the values of a list in an answer.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    items = cast("list[object]", raw)
    if not isinstance(raw, list):
        raise _other_form("a list is missing")
    return [from_wire(kind, item) for item in items]


def instant_from_wire(raw: object) -> datetime:
    """Return the instant in an answer.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    return from_wire(datetime, raw)


def part_of(answer: object, name: str, kind: Any = Any) -> Any:
    """Return one member of an answer.

    Args:
        answer: the answer of the server.
        name: the name of the member.
        kind: the type of the member.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    if not has_part(answer, name):
        raise _other_form(f"{name} is missing")
    return converted(cast("dict[str, Any]", answer)[name], kind, name)


def has_part(answer: object, name: str) -> bool:
    """Return whether an answer has a member of that name."""
    return isinstance(answer, dict) and name in cast("dict[str, Any]", answer)


class _Token(msgspec.Struct):
    fence: int
    claim_id: str


class _Held(msgspec.Struct):
    """The fields of an answer to the holder of a job, besides the job."""

    version: int
    lease_seconds: float
    expires_at: datetime
    seconds_left: float
    at_limit: bool


class _Claimed(msgspec.Struct):
    token: _Token


def claim_to_wire(claimed: ClaimedJob) -> dict[str, Any]:
    """Return a job in the answer to its claim, the only answer with its token."""
    return {**held_to_wire(claimed), "token": asked_to_wire(claimed.token)}


def held_to_wire(claimed: ClaimedJob) -> dict[str, Any]:
    """Return a job in an answer to its holder, who knows its token."""
    written: dict[str, Any] = to_json(claimed)
    return written


def claim_from_wire(raw: object) -> ClaimedJob:
    """Return the job in an answer to a claim.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    token = converted(raw, _Claimed).token
    return held_from_wire(raw, LeaseToken(fence=token.fence, claim_id=token.claim_id))


def held_from_wire(raw: object, token: LeaseToken) -> ClaimedJob:
    """Return the job in an answer to its holder, with the holder's token.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    held = converted(raw, _Held)
    job = _known_to_holder(from_wire(Job, part_of(raw, "job")), token)
    return ClaimedJob(job=job, token=token, **msgspec.structs.asdict(held))


def _known_to_holder(job: Job, token: LeaseToken) -> Job:
    """Return a job as its holder knows it: with the token of the current attempt."""
    *before, last = job.attempts
    attempts = (*before, evolve(last, claim_id=token.claim_id))
    return evolve(job, claim_id=token.claim_id, attempts=attempts)


def reference_of(claimed: ClaimedJob | ClaimRef) -> ClaimRef:
    """Return the reference to a claimed job: its id, token, lease length and version."""
    if isinstance(claimed, ClaimRef):
        return claimed
    return ClaimRef(
        job_id=claimed.job.job_id,
        token=claimed.token,
        lease_seconds=claimed.lease_seconds,
        version=claimed.version,
    )


def reference_to_wire(reference: ClaimRef) -> dict[str, Any]:
    """Return a claim reference as JSON, without the agent: the server knows the calling agent."""
    shown: dict[str, Any] = asked_to_wire(reference)
    del shown["agent_id"]
    return shown


def registration_to_wire(agent: Agent) -> dict[str, Any]:
    """Return an agent in the answer to its registration, the only answer with its incarnation."""
    return {**to_json(agent), "incarnation": agent.incarnation}


def converted(raw: object, kind: type[Value], name: str | None = None) -> Value:
    """Return a part of an answer as a value of a type.

    Raises:
        UnsupportedCapability: the answer has another form.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as wrong:
        raise _other_form(f"{wrong}" if name is None else f"{name}: {wrong}") from wrong


def _other_form(why: str) -> UnsupportedCapability:
    return UnsupportedCapability(
        f"the server's answer has another form: {why}; check the URL, and that the server "
        f"has the same version as this client"
    )
