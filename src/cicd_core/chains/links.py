"""The base of all links: when a link applies, and how it handles errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, TypeVar, cast

from cicd_core.errors import CicdError, InvalidInput
from cicd_core.model.checks import check_kind

if TYPE_CHECKING:
    from cicd_core.chains.running import Context
    from cicd_core.control_plane.agents import AgentService
    from cicd_core.control_plane.deployments import DeploymentService
    from cicd_core.control_plane.jobs import JobService
    from cicd_core.control_plane.maintenance import MaintenanceService
    from cicd_core.control_plane.queue import QueueService
    from cicd_core.http.client.agents import RemoteAgents
    from cicd_core.http.client.deployments import RemoteDeployments
    from cicd_core.http.client.jobs import RemoteJobs
    from cicd_core.http.client.maintenance import RemoteMaintenance
    from cicd_core.http.client.queue import RemoteQueue

AnyContext = TypeVar("AnyContext", bound="Context")
Entity = TypeVar("Entity")

#: Stops the following links: a text for people.
VALIDATION_ERROR: Final = "validation_error"
ERROR: Final = "error"
#: Beside ``error``: the exception itself, for programs.
EXCEPTION: Final = "exception"


class Plane(Protocol):
    """The services that links need, of a ``ControlPlane`` or a ``RemoteControlPlane``."""

    @property
    def agents(self) -> AgentService | RemoteAgents:
        """Agents: register, heartbeat, list."""
        ...

    @property
    def deployments(self) -> DeploymentService | RemoteDeployments:
        """Deployments: staging, production, rollback."""
        ...

    @property
    def jobs(self) -> JobService | RemoteJobs:
        """Jobs: create, list, record."""
        ...

    @property
    def maintenance(self) -> MaintenanceService | RemoteMaintenance:
        """Maintenance: requeue jobs of lost agents."""
        ...

    @property
    def queue(self) -> QueueService | RemoteQueue:
        """The queue: enqueue, claim, complete, statistics."""
        ...


def failure_of(ctx: Context) -> str | None:
    """Return the error of a context; None: nothing has failed."""
    found = ctx.get(VALIDATION_ERROR) or ctx.get(ERROR)
    return None if found is None else str(found)


class ServiceLink(ABC):
    """One operation.

    A link decides itself whether it applies, since not every runner evaluates the conditions
    between links. It does not change the context if a link failed before, if the context lacks a
    required value, or if the operation is done. An error of the library becomes ``error``, its
    text, and ``exception``. So links may be called in any order, and repeatedly: none of them
    raises, or writes more than it should.
    """

    #: The keys that the context must have.
    needs: ClassVar[tuple[str, ...]] = ()
    #: The key that shows that it is done and must not be repeated; None: it may be repeated.
    once: ClassVar[str | None] = None

    async def call(self, ctx: AnyContext) -> AnyContext:
        """Run it, if it applies, and return the context with the result."""
        if not self.applies(ctx):
            return ctx
        try:
            found = await self.work(ctx)
        except CicdError as error:
            found = {ERROR: str(error), EXCEPTION: error}
        for key, value in found.items():
            ctx = ctx.insert(key, value)
        return ctx

    def applies(self, ctx: Context) -> bool:
        """Return whether the link applies."""
        if failure_of(ctx) is not None or any(ctx.get(key) is None for key in self.needs):
            return False
        return self.once is None or ctx.get(self.once) is None

    @abstractmethod
    async def work(self, ctx: Context) -> Mapping[str, Any]:
        """Run the operation, and return the new values of the context.

        Raises:
            CicdError: the operation failed.
        """


class PlaneLink(ServiceLink):
    """One operation on a control plane. ``actor`` of the context is the caller."""

    def __init__(self, control_plane: Plane) -> None:
        """Take the control plane."""
        self.plane = control_plane


def actor_of(ctx: Context) -> str:
    """Return the caller: the context's ``actor``, or ``chain``."""
    actor: str = ctx.get("actor") or "chain"  # the service checks it
    return actor


def chosen(ctx: Context, *keys: str) -> dict[str, Any]:
    """Return those of the given values that the context has."""
    return {key: ctx.get(key) for key in keys if ctx.get(key) is not None}


def limit_of(ctx: Context, default: int) -> int:
    """Return the limit of a list; the service checks it."""
    limit: int | None = ctx.get("limit")
    return default if limit is None else limit


def found_in(ctx: Context, key: str, kind: type[Entity]) -> Entity:
    """Return the result of an earlier link.

    Raises:
        InvalidInput: it has another type.
    """
    value = ctx.get(key)
    check_kind(key, value, kind)
    return cast("Entity", value)


def all_found_in(ctx: Context, key: str, kind: type[Entity]) -> list[Entity]:
    """Return the results of an earlier link.

    Raises:
        InvalidInput: it, or one of them, has another type.
    """
    values = cast("list[object]", found_in(ctx, key, list))
    for value in values:
        check_kind(key, value, kind)
    return cast("list[Entity]", values)


def texts_by_name(ctx: Context, key: str) -> dict[str, str]:
    """Return a value that must be a dictionary of strings; empty if missing.

    Raises:
        InvalidInput: it has another type.
    """
    value = ctx.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(key, value, "give a dictionary of strings")
    return dict(cast("Mapping[str, str]", value))  # the spec checks its items


def whole_number(ctx: Context, key: str) -> int:
    """Return a value that must be an integer.

    Raises:
        InvalidInput: it has another type.
    """
    value = ctx.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(key, value, "give an integer")
    return value


def first_empty(ctx: Context, keys: tuple[str, ...]) -> str | None:
    """Return why a request is refused, if a value is not a non-empty string; else None."""
    for key in keys:
        value = ctx.get(key)
        if not isinstance(value, str) or not value.strip():
            return f"{key} is required; give a non-empty string"
    return None
