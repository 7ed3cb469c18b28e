"""KeyService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.keys.service import KeyService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from cicd_core.keys.model import ApiKey, KeySpec
    from cicd_core.keys.service import IssuedKey
    from cicd_core.model.principal import Principal
    from cicd_core.persistence.listing import Page


class KeyService(Facade[Service]):
    """API keys of programs, and of agents that reach the control plane over a network."""

    def create(
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
        return self._call(partial(self._service.create, spec, actor=actor, granted_by=granted_by))

    def get(self, key_id: str) -> ApiKey:
        """Return a key.

        Raises:
            NotFound: there is no such key, or it ended more than 30 days ago.
            InvalidInput: it is not the id of a key.
        """
        return self._call(partial(self._service.get, key_id))

    def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[ApiKey]:
        """Return a page of keys, the newest first, including those that ended within 30 days."""
        return self._call(partial(self._service.list, limit=limit, cursor=cursor))

    def replace(
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
        return self._call(
            partial(
                self._service.replace,
                key_id,
                overlap_seconds=overlap_seconds,
                actor=actor,
                granted_by=granted_by,
            )
        )

    def revoke(self, key_id: str, *, actor: str = "operator", reason: str = "revoked") -> ApiKey:
        """Revoke a key: in this process at once, in every other one within 5 seconds.

        Raises:
            NotFound: there is no such key.
            InvalidInput: a field is wrong; the error names it.
        """
        return self._call(partial(self._service.revoke, key_id, actor=actor, reason=reason))

    def authenticate(self, token: object) -> Principal:
        """Return the principal of a token, and record its use, at most once a minute.

        Cost: no call to the store for 4 seconds after a call for the same key.

        Raises:
            NotAuthenticated: it is not a token; or its key is unknown, revoked or expired.
            CorruptRecord: its record does not decode.
        """
        return self._call(partial(self._service.authenticate, token))

    def principal_of(self, key_id: str) -> Principal:
        """Return whom a key stands for, for who has shown its token before.

        Cost: as for :meth:`authenticate`.

        Raises:
            InvalidInput: ``key_id`` is no id.
            NotAuthenticated: the key is unknown, revoked, or has expired.
        """
        return self._call(partial(self._service.principal_of, key_id))
