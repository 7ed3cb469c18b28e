"""Keys: create, list, replace, revoke, and authenticate tokens."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import StoreError
from cicd_core.keys import rules
from cicd_core.keys.mapping import ALL_KEYS
from cicd_core.keys.model import ApiKey, KeySpec, check_key_id, checked, hash_key, key_id_of
from cicd_core.model.checks import check_kind, check_seconds
from cicd_core.model.instants import from_micros
from cicd_core.model.principal import NotAuthenticated, Principal
from cicd_core.persistence.listing import Listing, Page, read_page
from cicd_core.values import frozen

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository

#: How long a process uses its cached copy of a key, in seconds of elapsed time: a revocation takes
#: effect everywhere within that time.
BELIEVED_SECONDS: Final = 4.0
#: Maximum number of cached keys.
_REMEMBERED: Final = 10_000
_UNKNOWN: Final = "the API key is unknown (it may have expired)"


@frozen(kw_only=True)
class IssuedKey:
    """A new key with its token, which is shown only once."""

    key: ApiKey
    token: str

    def __repr__(self) -> str:
        """Omit the token: a repr may end up in logs."""
        return f"IssuedKey(key={self.key!r}, token='…')"


@frozen(kw_only=True)
class _Known:
    """A cached key, and the end of its use (elapsed seconds of this process)."""

    digest: str
    principal: Principal
    until: float


class KeyService:
    """API keys of programs, and of agents that reach the control plane over a network."""

    def __init__(self, context: Context, repository: Repository[ApiKey]) -> None:
        """Take the store and the repository of keys."""
        self._context = context
        self._repository = repository
        #: By key id, in the order of the reads.
        self._believed: OrderedDict[str, _Known] = OrderedDict()
        #: Number of keys that this process has ended: earlier reads may be out of date.
        self._endings = 0

    async def create(
        self, spec: KeySpec, *, actor: str = "operator", granted_by: Principal | None = None
    ) -> IssuedKey:
        """Create a key and return it with its token, which is not stored and never shown again.

        Args:
            spec: its scopes, limits and lifetime.
            actor: the caller.
            granted_by: the principal whose rights limit the key; None: the program.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            NotPermitted: ``granted_by`` may not create such a key.
        """
        wanted = checked(spec)
        if granted_by is not None:
            check_kind("granted_by", granted_by, Principal)
        key_id, token = self._context.ids.api_key()
        time = await self._context.store.now()
        decision = rules.create(
            wanted,
            key_id=key_id,
            digest=hash_key(token),
            now=from_micros(time.calendar),
            actor=actor,
            granted_by=granted_by,
        )
        made = await self._repository.create(decision, time=time)
        return IssuedKey(key=decision.value if made is None else made.value, token=token)

    async def get(self, key_id: str) -> ApiKey:
        """Return a key.

        Raises:
            NotFound: there is no such key, or it ended more than 30 days ago.
            InvalidInput: it is not the id of a key.
        """
        return (await self._repository.get(check_key_id(key_id))).value

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[ApiKey]:
        """Return a page of keys, the newest first, including those that ended within 30 days."""
        listing = Listing(partitions=(ALL_KEYS,), load=self._repository.load)
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def replace(
        self,
        key_id: str,
        *,
        overlap_seconds: float = 3600.0,
        actor: str = "operator",
        granted_by: Principal | None = None,
    ) -> IssuedKey:
        """Create a key with the same rights, and let the old one expire: both are valid meanwhile.

        Args:
            key_id: that of the old key.
            overlap_seconds: how long the old key stays valid, from 0 to 30 days.
            actor: the caller.
            granted_by: as for :meth:`create`.

        Both happen in one commit: a key that is revoked at the same time has no successor.

        Raises:
            NotFound: there is no such key.
            NotAuthenticated: it was revoked or has expired.
            NotPermitted: ``granted_by`` may not create such a key.
        """
        check_seconds("overlap_seconds", overlap_seconds, least=0, most=30 * 24 * 3600.0)
        if granted_by is not None:
            check_kind("granted_by", granted_by, Principal)
        new_id, token = self._context.ids.api_key()
        issued = await self._repository.change_and_create(
            check_key_id(key_id),
            lambda key, time: rules.replace(
                key,
                key_id=new_id,
                digest=hash_key(token),
                now=from_micros(time.calendar),
                overlap_seconds=overlap_seconds,
                actor=actor,
                granted_by=granted_by,
            ),
        )
        self._forget(key_id)
        return IssuedKey(key=issued.value, token=token)

    async def revoke(
        self, key_id: str, *, actor: str = "operator", reason: str = "revoked"
    ) -> ApiKey:
        """Revoke a key: in this process at once, in every other one within 5 seconds.

        Raises:
            NotFound: there is no such key.
            InvalidInput: a field is wrong; the error names it.
        """
        revoked = await self._repository.change(
            check_key_id(key_id),
            lambda key, now, _: rules.revoke(key, now=now, actor=actor, reason=reason),
        )
        self._forget(key_id)
        return revoked.value

    async def authenticate(self, token: object) -> Principal:
        """Return the principal of a token, and record its use, at most once a minute.

        Cost: no call to the store for 4 seconds after a call for the same key.

        Raises:
            NotAuthenticated: it is not a token; or its key is unknown, revoked or expired.
            CorruptRecord: its record does not decode.
        """
        key_id = key_id_of(token)
        digest = hash_key(str(token))
        known = self._believed.get(key_id)
        if known is not None and monotonic_seconds() < known.until:
            _compare(known.digest, digest)
            return known.principal
        self._believed.pop(key_id, None)
        begin, endings = monotonic_seconds(), self._endings
        loaded = (await self._repository.get_many([key_id])).get(key_id)
        if loaded is None:
            raise NotAuthenticated(_UNKNOWN)
        _compare(loaded.value.digest, digest)
        now = await self._context.calendar()
        principal = rules.check_use(loaded.value, now=now)
        await self._note_use(loaded, now)
        if endings == self._endings:
            self._believe(loaded.value, principal, begin, now)
        return principal

    async def principal_of(self, key_id: str) -> Principal:
        """Return whom a key stands for, for who has shown its token before.

        Cost: as for :meth:`authenticate`.

        Raises:
            InvalidInput: ``key_id`` is no id.
            NotAuthenticated: the key is unknown, revoked, or has expired.
        """
        check_key_id(key_id)
        known = self._believed.get(key_id)
        if known is not None and monotonic_seconds() < known.until:
            return known.principal
        begin, endings = monotonic_seconds(), self._endings
        loaded = (await self._repository.get_many([key_id])).get(key_id)
        if loaded is None:
            raise NotAuthenticated(_UNKNOWN)
        now = await self._context.calendar()
        principal = rules.check_use(loaded.value, now=now)
        if endings == self._endings:
            self._believe(loaded.value, principal, begin, now)
        return principal

    def _forget(self, key_id: str) -> None:
        """Read the key again at its next use, even if a read is in progress now."""
        self._endings += 1
        self._believed.pop(key_id, None)

    def _believe(self, key: ApiKey, principal: Principal, begin: float, now: datetime) -> None:
        lasts = BELIEVED_SECONDS
        if key.expires_at is not None:
            lasts = min(lasts, (key.expires_at - now).total_seconds())
        known = _Known(digest=key.digest, principal=principal, until=begin + lasts)
        self._believed[key.key_id] = known
        if len(self._believed) > _REMEMBERED:
            self._believed.popitem(last=False)

    async def _note_use(self, loaded: Loaded[ApiKey], now: datetime) -> None:
        """Record a use, at most once a minute; a read-only store must not lock callers out."""
        if not rules.use(loaded.value, now=now).changed:
            return
        with suppress(StoreError):
            await self._repository.change(
                loaded.value.key_id, lambda key, now, _: rules.use(key, now=now), before=loaded
            )


def _compare(kept: str, given: str) -> None:
    if not hmac.compare_digest(kept, given):
        raise NotAuthenticated(_UNKNOWN)
