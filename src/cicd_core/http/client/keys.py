"""API keys, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.access_answers import (
    issued_key_from_wire,
    key_from_wire,
    keys_from_wire,
)
from cicd_core.http.wire.values import asked_to_wire, from_wire
from cicd_core.keys.model import ApiKey, KeySpec, check_key_id, checked, key_id_of
from cicd_core.keys.rules import check_grant
from cicd_core.model.checks import check_kind
from cicd_core.model.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.http.client.connection import Connection
    from cicd_core.keys.service import IssuedKey
    from cicd_core.persistence.listing import Page


class RemoteKeys:
    """API keys of a server; the same methods as ``KeyService``.

    A key has no digest here. The rights of a new key are limited by this client's own key, which
    the server checks, and by ``granted_by``, which the client checks.
    """

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def create(
        self, spec: KeySpec, *, actor: str = "operator", granted_by: Principal | None = None
    ) -> IssuedKey:
        """Create a key and return it with its token, which is not stored and never shown again.

        Raises:
            InvalidInput: a field is wrong; the error names it.
            NotPermitted: ``granted_by``, or this client's own key, may not create such a key.
        """
        wanted = checked(spec)
        _check_grant(wanted.scopes, granted_by)
        body = asked_to_wire(wanted)
        answer = await self._connection.call("POST", path_of("keys"), body, repeatable=False)
        return issued_key_from_wire(answer)

    async def get(self, key_id: str) -> ApiKey:
        """Return a key.

        Raises:
            NotFound: there is no such key, or it ended more than 30 days ago.
            InvalidInput: it is not the id of a key.
        """
        return key_from_wire(await self._connection.get(_path(key_id)))

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[ApiKey]:
        """Return a page of keys, the newest first, including those that ended within 30 days."""
        query = {"limit": limit, "cursor": cursor}
        return keys_from_wire(await self._connection.get(path_of("keys"), query))

    async def replace(
        self,
        key_id: str,
        *,
        overlap_seconds: float = 3600.0,
        actor: str = "operator",
        granted_by: Principal | None = None,
    ) -> IssuedKey:
        """Create a key with the same rights, and let the old one expire: both are valid meanwhile.

        Raises:
            NotFound: there is no such key.
            NotAuthenticated: it was revoked or has expired.
            NotPermitted: ``granted_by``, or this client's own key, may not create such a key.
        """
        if granted_by is not None:
            _check_grant((await self.get(key_id)).scopes, granted_by)
        body = {"overlap_seconds": overlap_seconds}
        answer = await self._command(key_id, "replace", body, repeatable=False)
        return issued_key_from_wire(answer)

    async def revoke(
        self, key_id: str, *, actor: str = "operator", reason: str = "revoked"
    ) -> ApiKey:
        """Revoke a key: within 5 seconds in every process.

        Raises:
            NotFound: there is no such key.
            InvalidInput: a field is wrong; the error names it.
        """
        return key_from_wire(await self._command(key_id, "revoke", {"reason": reason}))

    async def authenticate(self, token: object) -> Principal:
        """Return the principal of a token; this counts as a use of its key.

        Raises:
            NotAuthenticated: it is not a token; or its key is unknown, revoked or expired.
        """
        key_id_of(token)
        path = path_of("keys", "authenticate")
        answer = await self._connection.call("POST", path, {"token": token}, repeatable=True)
        return from_wire(Principal, answer)

    async def _command(
        self, key_id: str, command: str, body: Mapping[str, Any], *, repeatable: bool = True
    ) -> Any:
        path = _path(key_id, command)
        return await self._connection.call("POST", path, body, repeatable=repeatable)


def _check_grant(scopes: Iterable[str], granted_by: Principal | None) -> None:
    if granted_by is not None:
        check_kind("granted_by", granted_by, Principal)
        check_grant(scopes, granted_by)


def _path(key_id: str, command: str | None = None) -> str:
    return path_of("keys", name=check_key_id(key_id), command=command)
