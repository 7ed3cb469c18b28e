"""The life of a key: creation, use, perhaps an earlier expiry, and revocation."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cicd_core.keys.model import ApiKey, KeySpec, checked
from cicd_core.lifecycle.decision import Decision, unchanged
from cicd_core.model.checks import check_label, check_reason
from cicd_core.model.event import EventDraft
from cicd_core.model.principal import NotAuthenticated, Principal, Scope, known_scopes
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

#: Minimum time between two recorded uses, in seconds.
USE_SECONDS = 60.0


def create(
    spec: KeySpec,
    *,
    key_id: str,
    digest: str,
    now: datetime,
    actor: str,
    granted_by: Principal | None = None,
) -> Decision[ApiKey]:
    """Return a new key.

    Args:
        spec: a checked spec (:func:`cicd_core.keys.model.checked`).
        key_id: its id.
        digest: the SHA-256 of its token.
        now: the time on the store's calendar.
        actor: the caller.
        granted_by: the principal whose rights limit the key; None: the program, with all rights.

    Raises:
        NotPermitted: ``granted_by`` may not create keys, or lacks one of the scopes.
    """
    if granted_by is not None:
        check_grant(spec.scopes, granted_by)
    key = ApiKey(
        key_id=key_id,
        digest=digest,
        name=spec.name,
        scopes=tuple(spec.scopes),
        agent_id=spec.agent_id,
        pools=tuple(spec.pools),
        created_at=now,
        created_by=check_label("actor", actor),
        expires_at=None if spec.ttl_seconds is None else now + timedelta(seconds=spec.ttl_seconds),
    )
    data: dict[str, Any] = {"actor": actor, "name": key.name, "scopes": ", ".join(key.scopes)}
    if key.agent_id is not None:
        data["agent_id"] = key.agent_id
    return Decision(key, (EventDraft("key.created", now, data),))


def check_grant(scopes: Iterable[str], granted_by: Principal) -> None:
    """Check that a principal may create a key with these scopes.

    Raises:
        NotPermitted: it may not create keys, or lacks one of the scopes.
    """
    # A principal that is limited to an agent or to pools may not use keys:admin.
    for scope in (Scope.KEYS_ADMIN, *map(Scope, scopes)):
        granted_by.require(scope)


def check_use(key: ApiKey, *, now: datetime) -> Principal:
    """Return the principal of a key.

    Raises:
        NotAuthenticated: it was revoked, or has expired.
    """
    if key.revoked_at is not None:
        raise NotAuthenticated("the API key was revoked")
    if key.expires_at is not None and now >= key.expires_at:
        raise NotAuthenticated("the API key has expired")
    return Principal(
        name=key.name if key.agent_id is None else key.agent_id,
        scopes=known_scopes(key.scopes),
        agent_id=key.agent_id,
        pools=frozenset(key.pools) or None,
        key_id=key.key_id,
    )


def use(key: ApiKey, *, now: datetime) -> Decision[ApiKey]:
    """Record a use, unless one was recorded within the last minute."""
    # A use in the future was recorded while the calendar was wrong.
    if key.last_used_at is not None and (
        0 <= (now - key.last_used_at).total_seconds() < USE_SECONDS
    ):
        return unchanged(key)
    return Decision(evolve(key, last_used_at=now))


def replace(
    key: ApiKey,
    *,
    key_id: str,
    digest: str,
    now: datetime,
    overlap_seconds: float,
    actor: str,
    granted_by: Principal | None = None,
) -> tuple[Decision[ApiKey], Decision[ApiKey]]:
    """Return the old key, which ends after ``overlap_seconds``, and a new one with its rights.

    Args:
        key: the old key.
        key_id: the new key's id.
        digest: the SHA-256 of the new key's token.
        now: the time on the store's calendar.
        overlap_seconds: how long the old key stays valid.
        actor: the caller.
        granted_by: as for :func:`create`.

    Raises:
        NotAuthenticated: the old key was revoked, or has expired.
        NotPermitted: ``granted_by`` may not create such a key.
    """
    ending = shorten(key, now=now, overlap_seconds=overlap_seconds, actor=actor)
    spec = KeySpec(
        name=key.name,
        scopes=key.scopes,
        agent_id=key.agent_id,
        pools=key.pools,
        ttl_seconds=lifetime(key),
    )
    successor = create(
        checked(spec), key_id=key_id, digest=digest, now=now, actor=actor, granted_by=granted_by
    )
    return ending, successor


def shorten(key: ApiKey, *, now: datetime, overlap_seconds: float, actor: str) -> Decision[ApiKey]:
    """Let a replaced key expire after ``overlap_seconds``, or at its own earlier expiry.

    Raises:
        NotAuthenticated: it was revoked, or has expired: it cannot be replaced.
    """
    check_use(key, now=now)
    end = now + timedelta(seconds=overlap_seconds)
    if key.expires_at is not None and key.expires_at <= end:
        return unchanged(key)
    data = {"actor": check_label("actor", actor), "ends_in_seconds": overlap_seconds}
    shortened = evolve(key, expires_at=end, lifetime_seconds=lifetime(key) or 0.0)
    return Decision(shortened, (EventDraft("key.replaced", now, data),))


def lifetime(key: ApiKey) -> float | None:
    """Return how long a key was to last when it was created, in seconds; None: until revoked."""
    if key.lifetime_seconds is not None:
        return key.lifetime_seconds or None
    return None if key.expires_at is None else (key.expires_at - key.created_at).total_seconds()


def revoke(key: ApiKey, *, now: datetime, actor: str, reason: str) -> Decision[ApiKey]:
    """Revoke a key; a revoked key does not change.

    Raises:
        InvalidInput: ``actor`` or ``reason`` is empty.
    """
    data = {"actor": check_label("actor", actor), "reason": check_reason("reason", reason)}
    if key.revoked_at is not None:
        return unchanged(key)
    revoked = evolve(key, revoked_at=now, revoked_by=actor)
    return Decision(revoked, (EventDraft("key.revoked", now, data),))
