"""Authentication of callers: closed by default.

Without keys, the server answers only programs on the same machine, as the principal ``local``. To
keep web pages in a browser on that machine out, it refuses a foreign ``Host`` (a sign of DNS
rebinding) and a foreign ``Origin``. It also refuses requests that came through a proxy.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Protocol

from cicd_core.errors import SessionRejected
from cicd_core.model.principal import NotAuthenticated, NotPermitted, Principal, Scope

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9.-]+))(?::[0-9]+)?"
)

#: Headers that proxies add to forwarded requests.
_OF_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

#: The advice for a caller that is not on this machine.
_REMEDY: Final = (
    "call 127.0.0.1 or localhost, or start the server with --require-auth and send a key"
)

#: The principal of all callers without keys; it has all scopes.
LOCAL: Final = Principal(name="local", scopes=frozenset(Scope))


#: The principal on routes that need no credentials.
ANONYMOUS: Final = Principal(name="anonymous", scopes=frozenset())


class Authenticator(Protocol):
    """Checks tokens: the key service, or your own class."""

    async def authenticate(self, token: str) -> Principal:
        """Return the principal of a token.

        Raises:
            NotAuthenticated: it is unknown, expired or revoked.
        """
        ...


class Access(Protocol):
    """Finds the principal of a request: the ``auth`` of ``create_app``."""

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Return the principal of a request.

        Raises:
            NotAuthenticated: there are no credentials, or unknown ones.
            NotPermitted: the server answers no caller with these headers.
        """
        ...


class LocalAccess:
    """Accepts only programs on this machine, each as the principal ``local``."""

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Return ``local`` for a caller on the loopback interface.

        Raises:
            NotAuthenticated: the caller is on another machine.
            NotPermitted: its ``Host`` or ``Origin`` is not this machine's own, or it is a proxy,
                which forwards requests from other machines.
        """
        address = None if connection.client is None else connection.client.host
        if address is None or not is_loopback(address):
            raise NotAuthenticated("without keys, only programs on the server's machine may call")
        if through := [name for name in _OF_PROXIES if name in connection.headers]:
            reason = f"the request came through a proxy ({through[0]}), so its caller is unknown"
            raise NotPermitted(LOCAL.name, f"{reason}; require keys (--require-auth)")
        hosts = connection.headers.getlist("host")
        if len(hosts) != 1 or not is_loopback(_host_of(hosts[0])):
            reason = f"the Host {', '.join(hosts)!r} is not localhost; {_REMEDY}"
            raise NotPermitted(LOCAL.name, reason)
        for origin in connection.headers.getlist("origin"):
            if not is_loopback(_host_of(origin.partition("://")[2])):
                reason = f"the Origin {origin!r} is not localhost; {_REMEDY}"
                raise NotPermitted(LOCAL.name, reason)
        return LOCAL


class BearerAccess:
    """Accepts callers with a token: ``Authorization: Bearer …``."""

    def __init__(self, authenticator: Authenticator) -> None:
        """Take the object that checks tokens."""
        self._authenticator = authenticator

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Return the principal of the request's token.

        Raises:
            NotAuthenticated: there is no token, or an unknown one.
        """
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise NotAuthenticated("send the header Authorization: Bearer, with a key")
        try:
            return await self._authenticator.authenticate(token.strip())
        except SessionRejected as rejected:
            raise NotAuthenticated(rejected.reason) from rejected


def require_agent(principal: Principal, agent_id: str, pool_name: str | None = None) -> None:
    """Check that a principal may act as an agent, in a pool.

    Raises:
        NotPermitted: it belongs to another agent, or the pool is not one of its pools.
    """
    if principal.agent_id not in {None, agent_id}:
        raise NotPermitted(principal.name, f"it may not act as agent {agent_id!r}")
    if pool_name is not None and principal.pools is not None and pool_name not in principal.pools:
        raise NotPermitted(principal.name, f"pool {pool_name!r} is not one of its pools")


def _host_of(authority: str) -> str:
    """Return the host of ``host[:port]``; empty for any other form, such as one with a user."""
    found = _AUTHORITY.fullmatch(authority)
    return "" if found is None else found["six"] or found["name"]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself, without a network."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
