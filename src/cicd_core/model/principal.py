"""Principals, their scopes, and the errors for callers without rights."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from cicd_core.errors import OperationRejected
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable


class Scope(StrEnum):
    """A permission of a principal."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    #: Claim jobs and report on claimed ones; register an agent and send heartbeats.
    QUEUE_CLAIM = "queue:claim"
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_WRITE = "deployments:write"
    AGENTS_READ = "agents:read"
    #: Set an agent's status, drain and deregister it; make, scale and delete pools; maintenance.
    AGENTS_ADMIN = "agents:admin"
    EVENTS_READ = "events:read"
    #: Read what jobs printed: it may hold secrets, so reading jobs does not include it.
    LOGS_READ = "logs:read"
    SESSIONS_CREATE = "sessions:create"
    KEYS_ADMIN = "keys:admin"


def known_scopes(texts: Iterable[str]) -> frozenset[Scope]:
    """Return the known scopes; those that a newer version wrote have no effect."""
    every = {scope.value: scope for scope in Scope}
    return frozenset(every[text] for text in texts if text in every)


@frozen(kw_only=True)
class Principal:
    """An authenticated caller. Its name is the ``actor`` of its commands."""

    name: str
    scopes: frozenset[Scope]
    #: Its agent: it may then use only this agent's record and leases.
    agent_id: str | None = None
    #: The pools that it may claim in; None: all of them.
    pools: frozenset[str] | None = None
    #: The key that it used; None: no key.
    key_id: str | None = None

    @property
    def limits(self) -> str | None:
        """Its limits, for people; None: only its scopes limit it."""
        if self.agent_id is not None:
            return f"agent {self.agent_id!r}"
        return None if self.pools is None else f"the pools {', '.join(sorted(self.pools))}"

    def require(self, scope: Scope) -> None:
        """Check that it has a scope, and that the scope fits its limits.

        Only ``queue:claim`` names an agent and a pool with each call. The other scopes reach the
        data of every agent and every pool.

        Raises:
            NotPermitted: it does not have the scope, or is limited; the error says which.
        """
        if scope not in self.scopes:
            raise NotPermitted(self.name, f"it does not have the scope {scope.value}")
        if scope is not Scope.QUEUE_CLAIM and self.limits is not None:
            reason = f"it is limited to {self.limits}, but {scope.value} reaches further"
            raise NotPermitted(self.name, f"{reason}; use a key without limits")


class NotAuthenticated(OperationRejected):
    """The caller has no credentials, or unknown ones."""

    def __init__(self, reason: str) -> None:
        """Give the reason; the message never contains the credentials."""
        super().__init__(f"the caller is unknown: {reason}")
        self.reason = reason


class NotPermitted(OperationRejected):
    """The caller is known, but may not do that."""

    def __init__(self, principal: str, reason: str) -> None:
        """Name the caller, and the missing right."""
        super().__init__(f"{principal!r} may not do that: {reason}")
        self.principal = principal
        self.reason = reason
