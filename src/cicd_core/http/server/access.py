"""Who calls: closed by default.

Without keys only programs of the same machine are answered, as the principal ``local``. A browser
there must not be an open door: a foreign ``Host`` is refused, which is what DNS rebinding shows,
and so is a foreign ``Origin``. A proxy on the machine is refused too, where it says what it is.
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

#: What a proxy adds to the requests that it hands on.
_OF_PROXIES: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

#: What a caller that is not of this machine can do.
_REMEDY: Final = (
    "call 127.0.0.1 or localhost, or start the server with --require-auth and send a key"
)

#: Who calls where no keys are needed: it may do everything.
LOCAL: Final = Principal(name="local", scopes=frozenset(Scope))


#: Who calls a route that asks for no credentials.
ANONYMOUS: Final = Principal(name="anonymous", scopes=frozenset())


class Authenticator(Protocol):
    """What knows tokens: the service of keys, or one of your own."""

    async def authenticate(self, token: str) -> Principal:
        """Return whose token this is.

        Raises:
            NotAuthenticated: it is unknown, expired or revoked.
        """
        ...


class Access(Protocol):
    """How a request's caller is found out: the ``auth`` of ``create_app``."""

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Return who calls.

        Raises:
            NotAuthenticated: there are no credentials, or unknown ones.
            NotPermitted: no caller with these headers is answered.
        """
        ...


class LocalAccess:
    """Answers programs on this machine alone, each as the principal ``local``."""

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Return ``local`` for a caller on the loopback interface.

        Raises:
            NotAuthenticated: the caller is on another machine.
            NotPermitted: its ``Host`` or ``Origin`` is not this machine's own, or it is a proxy,
                which speaks for callers on other machines.
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
    """Answers callers that show a token: ``Authorization: Bearer …``."""

    def __init__(self, authenticator: Authenticator) -> None:
        """Take what knows the tokens."""
        self._authenticator = authenticator

    async def principal(self, connection: HTTPConnection) -> Principal:
        """Return whose token the request shows.

        Raises:
            NotAuthenticated: it shows none, or an unknown one.
        """
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise NotAuthenticated("send the header Authorization: Bearer, with a key")
        try:
            return await self._authenticator.authenticate(token.strip())
        except SessionRejected as rejected:
            raise NotAuthenticated(rejected.reason) from rejected


def require_agent(principal: Principal, agent_id: str, pool_name: str | None = None) -> None:
    """Check that a principal may speak for an agent, in a pool.

    Raises:
        NotPermitted: it is another agent, or the pool is not on its list.
    """
    if principal.agent_id not in {None, agent_id}:
        raise NotPermitted(principal.name, f"it may not act as agent {agent_id!r}")
    if pool_name is not None and principal.pools is not None and pool_name not in principal.pools:
        raise NotPermitted(principal.name, f"pool {pool_name!r} is not one of its pools")


def _host_of(authority: str) -> str:
    """Return the host of ``host[:port]``; nothing of what is more than that, such as a user."""
    found = _AUTHORITY.fullmatch(authority)
    return "" if found is None else found["six"] or found["name"]


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself, whatever its network is."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
