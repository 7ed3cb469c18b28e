"""The model of a record: the store contract as a pure function of its state.

:func:`record_steps` is the sequential specification of get, commit, claim and renew for one record.
It has no time and no unobserved values: versions and instants stay open until a client observes
them, and results that depend on the time (a guard, a record's retention) may have either
value.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard

from cicd_core.store.records import KEEP, Claim, Guard, Lease, Renewal, Renewed
from cicd_core.testing.recording.operation import UNKNOWN, Operation, Unknown
from cicd_core.testing.recording.store_calls import Get
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from cicd_core.store.records import Keep


@frozen(kw_only=True)
class Content:
    """The content of a record besides its version and its lease."""

    commit_id: str
    body: bytes
    #: Without the attribute that follows the lease, which may lag.
    attributes: frozenset[tuple[str, str]]
    grant: bytes | None
    lease_limit: int | None
    expires_at: int | None


@frozen
class Sight:
    """A record as observed in an answer."""

    version: int
    content: Content
    lease: Lease | None


@frozen
class Held:
    """The known parts of a lease."""

    claim_id: str
    #: None: not observed yet.
    granted: int | None
    #: If not observed yet, the instants are at least this.
    renewed: int
    expires: int
    limit: int | None
    #: Whether ``renewed`` and ``expires`` were observed, or follow from an observation.
    exact: bool = True


@frozen(cache_hash=True)
class RecordState:
    """A record at one moment."""

    #: 0: there is no record. None: not observed yet, but above ``floor``.
    version: int | None = 0
    #: All later versions are above this.
    floor: int = 0
    #: The claims since its last commit.
    claims: int = 0
    content: Content | None = None
    lease: Held | None = None


#: The state before the first write.
ABSENT = RecordState()


class Refusal(Enum):
    """The result of a refused commit for one record."""

    #: The conflict names this record.
    NAMED = "named"
    #: The conflict names only other records.
    SPARED = "spared"


@frozen(kw_only=True)
class Write:
    """The put of one record, as a part of a commit."""

    commit_id: str
    expected: int
    content: Content
    lease: Lease | Literal[Keep.KEEP] | None
    guard: Guard
    #: Whether it is the commit's only put, so that the id alone identifies a repetition.
    alone: bool


@frozen(kw_only=True)
class Erase:
    """The delete of one record, as a part of a commit."""

    expected: int
    guard: Guard


#: A write answers the version that it gave, an erase 0, a claim and a get the observed record.
#: None: it was absent, or the claim did not take it.
RecordArgument: TypeAlias = Get | Write | Erase | Claim | Renewal
RecordResult: TypeAlias = Sight | int | Refusal | Renewed | None
RecordOperation: TypeAlias = Operation[RecordArgument, RecordResult]
_Result: TypeAlias = RecordResult | Literal[Unknown.UNKNOWN]
_Steps: TypeAlias = tuple[RecordState, ...]


def record_steps(state: RecordState, operation: RecordOperation) -> _Steps:
    """Return the states that an operation may lead to, given its result.

    No state: it cannot answer that in this state. For an operation with an unknown outcome, only
    the states in which it took effect are returned.
    """
    steps = _steps(state, operation)
    if state.content is not None and state.content.expires_at is not None:
        steps += _steps(_gone(state), operation)  # its retention may have ended
    return steps


def _steps(state: RecordState, operation: RecordOperation) -> _Steps:
    argument, result = operation.argument, operation.result
    match argument:
        case Get():
            return _get(state, result)
        case Write():
            return _write(state, argument, result)
        case Erase():
            return _erase(state, argument, result)
        case Claim():
            return _claim(state, argument, result)
        case Renewal():
            return _renew(state, argument, result)


def _get(state: RecordState, result: _Result) -> _Steps:
    if result is None:
        return (state,) if state.version == 0 else ()
    return _shown(state, result) if isinstance(result, Sight) else ()


def _write(state: RecordState, write: Write, result: _Result) -> _Steps:
    if isinstance(result, Refusal):
        content = state.content
        repeated = write.alone and content is not None and content.commit_id == write.commit_id
        return () if repeated else _refused(state, write, result)
    if state.content is not None and state.content.commit_id == write.commit_id:
        return _given_again(state, result)
    seen = _expected(state, write)
    if seen is None:
        return ()
    version = write.expected + 1 if write.expected else None
    if result is not UNKNOWN:
        version = _given(result, version, state.floor)
        if version is None:
            return ()
    lease = _lease_after(write, seen.lease)
    return (RecordState(version, version or seen.floor, 0, write.content, lease),)


def _given(result: _Result, expected: int | None, floor: int) -> int | None:
    """Return the version that a write gave, if that is possible: a creation gives a new one."""
    if not isinstance(result, int):
        return None
    right = result > floor if expected is None else result == expected
    return result if right else None


def _given_again(state: RecordState, result: _Result) -> _Steps:
    """Return the steps of a repeated last commit: the answer is the first one."""
    if not isinstance(result, int):
        return ()
    seen = _at_version(state, result + state.claims)
    return () if seen is None else (seen,)


def _erase(state: RecordState, erase: Erase, result: _Result) -> _Steps:
    if isinstance(result, Refusal):
        return _refused(state, erase, result)
    seen = _expected(state, erase)
    return () if seen is None else (_gone(seen),)


def _claim(state: RecordState, claim: Claim, result: _Result) -> _Steps:
    if state.lease is not None and state.lease.claim_id == claim.claim_id:
        return _shown(state, result) if isinstance(result, Sight) else ()
    if result is None:
        return (state,)
    granted = _granted(state, claim)
    if granted is None or result is UNKNOWN:
        return () if granted is None else (granted,)
    return _shown(granted, result) if _is_grant(result, claim) else ()


def _granted(state: RecordState, claim: Claim) -> RecordState | None:
    """Return the record with a claim's grant; None: the claim cannot take it."""
    content = state.content
    if content is None or not claim.limit:
        return None
    attributes = dict(content.attributes)
    if attributes.get(claim.index.partition) not in claim.partitions:
        return None
    patched = {**attributes, **claim.patch}
    kept = frozenset((name, text) for name, text in patched.items() if text is not None)
    return RecordState(
        version=None if state.version is None else state.version + 1,
        floor=state.floor + 1,
        claims=state.claims + 1,
        content=evolve(content, attributes=kept, grant=claim.grant),
        lease=Held(claim.claim_id, None, 0, 0, None, exact=False),
    )


def _renew(state: RecordState, renewal: Renewal, result: _Result) -> _Steps:
    held = state.lease
    if held is None or held.claim_id != renewal.claim_id:
        return (state,) if result is None else ()
    if result is UNKNOWN:
        return (evolve(state, lease=evolve(held, exact=False)),)
    if not isinstance(result, Renewed) or not _is_forward(held, result):
        return ()
    if held.limit not in {None, result.limit}:
        return ()
    if result.expires > result.limit and (held.exact and result.expires != held.expires):
        return ()
    seen = _at_version(state, result.version)
    lease = evolve(
        held, renewed=result.renewed, expires=result.expires, limit=result.limit, exact=True
    )
    return () if seen is None else (evolve(seen, lease=lease),)


def _shown(state: RecordState, sight: Sight) -> _Steps:
    """Return the steps of an observation: it must match the state, and fixes its open values."""
    if sight.content != state.content:
        return ()
    seen = _at_version(state, sight.version)
    lease, held = sight.lease, state.lease
    if seen is None or (lease is None) != (held is None):
        return ()
    if lease is None or held is None:
        return (seen,)
    known = _as_seen(lease)
    if known == held:  # nearly always: avoid the copy
        return (seen,)
    open_ends = (
        lease.claim_id == held.claim_id
        and held.granted in {None, lease.granted}
        and held.limit in {None, lease.limit}
        and _may_be(held, lease.renewed, lease.expires)
    )
    return (evolve(seen, lease=known),) if open_ends else ()


def _is_forward(held: Held, result: Renewed) -> bool:
    return held.renewed <= result.renewed and held.expires <= result.expires


def _may_be(held: Held, renewed: int, expires: int) -> bool:
    if held.exact:
        return (held.renewed, held.expires) == (renewed, expires)
    return held.renewed <= renewed and held.expires <= expires


def _at_version(state: RecordState, version: int) -> RecordState | None:
    """Return the state if it has, or may have, this version."""
    if state.version == version:
        return state
    if state.version is None and version > state.floor:
        return evolve(state, version=version, floor=version)
    return None


def _expected(state: RecordState, write: Write | Erase) -> RecordState | None:
    """Return the state if the write's expectation holds, or may hold."""
    return _at_version(state, write.expected)


def _refused(state: RecordState, write: Write | Erase, refusal: Refusal) -> _Steps:
    if refusal is Refusal.SPARED:
        seen = _expected(state, write)
        return () if seen is None else (seen,)
    differs = state.version is None or state.version != write.expected
    may_be_held = write.guard is Guard.LEASE_EXPIRED and state.lease is not None
    return (state,) if differs or may_be_held else ()


def _gone(state: RecordState) -> RecordState:
    return RecordState(version=0, floor=max(state.floor, state.version or 0))


def _lease_after(write: Write, held: Held | None) -> Held | None:
    lease = write.lease
    if lease is KEEP:
        return held
    if lease is None:
        return None
    if held is None or held.claim_id != lease.claim_id:
        return _as_seen(lease)
    return evolve(
        _as_seen(lease),
        renewed=max(held.renewed, lease.renewed),
        expires=max(min(held.expires, lease.limit), lease.expires),
        exact=held.exact,
    )


def _as_seen(lease: Lease) -> Held:
    return Held(lease.claim_id, lease.granted, lease.renewed, lease.expires, lease.limit)


def _is_grant(result: _Result, claim: Claim) -> TypeGuard[Sight]:
    """Whether the observed lease is as long as the claim and the record allow."""
    if not isinstance(result, Sight) or result.lease is None:
        return False
    lease = result.lease
    limits = [item for item in (claim.lease_limit, result.content.lease_limit) if item is not None]
    longest = min(limits) if limits else lease.limit - lease.granted
    return (
        lease.granted == lease.renewed
        and lease.limit == lease.granted + longest
        and lease.expires == min(lease.granted + claim.duration, lease.limit)
    )
