"""API keys: their scopes, and their tokens, of which only a hash is stored.

A token is ``cicd_KEYID_SECRET``. The key id (16 hexadecimal digits) names the record and is public;
the secret (256 random bits as 64 hexadecimal digits) is shown only once, at the creation.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from attrs import field

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_kind, check_label, check_name, check_names, check_seconds
from cicd_core.model.choices import as_names, check_choice
from cicd_core.model.principal import NotAuthenticated, Scope
from cicd_core.values import frozen

#: Maximum lifetime of a key, in seconds: ten years.
MAX_KEY_SECONDS = 10 * 365 * 24 * 3600.0

#: Prefix of every token: secret scanners find it, and it distinguishes keys from sessions.
TOKEN_PREFIX = "cicd_"  # noqa: S105 - the common prefix is not a secret
_TOKEN = re.compile(r"cicd_([0-9a-f]{16})_([0-9a-f]{64})")
_KEY_ID = re.compile(r"[0-9a-f]{16}")


#: The scopes of a key that is limited to an agent or to pools: claim jobs, and report on them.
#: Other scopes reach the data of every agent and every pool.
AGENT_SCOPES = (Scope.QUEUE_CLAIM,)


@frozen(kw_only=True)
class ApiKey:
    """A key. Instants are aware UTC datetimes of the store's calendar."""

    key_id: str
    #: The SHA-256 of the token. Omitted from the repr and from JSON.
    digest: str = field(repr=False)
    #: The owner or purpose, for people.
    name: str
    scopes: tuple[str, ...]
    #: Its agent: the key reaches only this agent's record and leases.
    agent_id: str | None = None
    #: The pools that it may claim in; empty: all pools.
    pools: tuple[str, ...] = ()
    created_at: datetime
    created_by: str
    #: The time of its expiry; None: it lasts until it is revoked.
    expires_at: datetime | None = None
    #: Its last use, up to a minute late.
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    #: Its lifetime in seconds before a replacement shortened it; 0: until it is revoked; None:
    #: ``expires_at`` shows it. Omitted from the repr and from JSON.
    lifetime_seconds: float | None = field(default=None, repr=False)


@frozen(kw_only=True)
class KeySpec:
    """A key to create. The fields are those of :class:`ApiKey`."""

    name: str
    #: :class:`Scope` members, or their strings.
    scopes: tuple[str, ...] = field(default=(), converter=as_names)
    agent_id: str | None = None
    pools: tuple[str, ...] = field(default=(), converter=as_names)
    #: Its lifetime, in seconds, at most ten years; None: until it is revoked.
    ttl_seconds: float | None = None


def checked(spec: KeySpec) -> KeySpec:
    """Return the spec with its scopes and pools sorted, without repetition.

    Raises:
        InvalidInput: a field is wrong; the error names it.
    """
    check_kind("spec", spec, KeySpec)
    agent_id = None if spec.agent_id is None else check_name("agent_id", spec.agent_id)
    scopes: object = spec.scopes or (AGENT_SCOPES if agent_id is not None else ())
    if not isinstance(scopes, tuple) or not scopes:
        raise InvalidInput("scopes", scopes, f"give a list of scopes from {', '.join(Scope)}")
    ttl = spec.ttl_seconds
    pools = check_names("pools", spec.pools)
    chosen = {check_choice("scopes", scope, Scope) for scope in scopes}
    if (agent_id is not None or pools) and chosen != set(AGENT_SCOPES):
        reason = "a key for an agent or pools allows only queue:claim; use another key for the rest"
        raise InvalidInput("scopes", sorted(chosen), reason)
    return KeySpec(
        name=check_label("name", spec.name),
        scopes=tuple(sorted(scope.value for scope in chosen)),
        agent_id=agent_id,
        pools=pools,
        ttl_seconds=None
        if ttl is None
        else check_seconds("ttl_seconds", ttl, least=1, most=MAX_KEY_SECONDS),
    )


def hash_key(token: str) -> str:
    """Return the SHA-256 of a token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def key_id_of(token: object) -> str:
    """Return the key id in a token.

    Raises:
        NotAuthenticated: it is not a key's token. The error does not show it.
    """
    found = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    if found is None:
        raise NotAuthenticated("the token is not an API key")
    return found[1]


def check_key_id(value: object) -> str:
    """Return ``value``, a key id.

    Raises:
        InvalidInput: it is not a key id. It may be a token, so the error does not show it.
    """
    if not isinstance(value, str) or not _KEY_ID.fullmatch(value):
        raise InvalidInput("key_id", "(not shown)", "give the 16 hexadecimal digits of a key's id")
    return value
