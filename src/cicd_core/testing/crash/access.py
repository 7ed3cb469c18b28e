"""A worker's access to the store: it opens the store, or calls a control plane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from cicd_core.clock import boot_micros
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.entities import COLLECTIONS
from cicd_core.errors import StoreFull, StoreReadOnly, StoreUnavailable, UnsupportedCapability
from cicd_core.store.registry import open_store
from cicd_core.testing.crash.plan import SETTINGS
from cicd_core.testing.seeds import drawn
from cicd_core.testing.workers.kill_points import Fuse, PointedCalls, pointed
from cicd_core.testing.workers.worker import named
from cicd_core.values import frozen

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AsyncExitStack
    from random import Random  # noqa: TID251 - the caller's, seeded

    from cicd_core.store.contract import Store
    from cicd_core.testing.crash.plan import LabTask, Remote
    from cicd_core.testing.workers.orders import WorkerOrder

#: Makes a call of a service, given its verb.
Ask = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]

#: How long to wait before an unavailable store is opened again, in seconds.
_PAUSE: Final = 0.05
#: Errors of a store whose server temporarily lacks settings or rights.
REFUSALS: Final = (StoreFull, StoreReadOnly, UnsupportedCapability)
#: How long a claim over the network waits for work, in seconds: one of these values.
_WAITS: Final = (0.0, 0.0, 0.3, 1.0)
#: Verbs of the services that have their own kill points; the others commit.
_VERBS: Final = frozenset({"claim", "renew"})
#: Verbs that change nothing.
_READING: Final = frozenset({"dead_letters"})


@frozen(kw_only=True)
class Access:
    """A worker's access to the store."""

    plane: ControlPlane
    #: The same services without kill points.
    uninterrupted: ControlPlane
    #: Requeues jobs with expired leases.
    sweep: Callable[[], Awaitable[object]]
    #: Returns the store's steady clock (µs).
    now: Callable[[], Awaitable[int]]
    ask: Ask
    #: How long a claim waits, in seconds: one of these values.
    waits: tuple[float, ...] = (0.0,)
    #: Whether an answer has a lease's seconds, counted from before the call, instead of its end.
    tells_seconds: bool = False


async def open_access(order: WorkerOrder, task: LabTask, stack: AsyncExitStack) -> Access:
    """Open the store according to an order, until the stack closes."""
    random = drawn(order.seed, "point", order.name)
    if task.remote is None:
        return await _direct(order, task, stack, random)
    return await _remote(order, task.remote, stack, random)


async def _direct(
    order: WorkerOrder, task: LabTask, stack: AsyncExitStack, random: Random
) -> Access:
    opened = await _open_patiently(order.store, task, stack)
    store = pointed(wrapped(opened, task.wrap), order.kill_point, random)
    plane = ControlPlane(store, settings=SETTINGS)

    async def now() -> int:
        return (await plane.store.now()).micros

    return Access(
        plane=plane,
        uninterrupted=ControlPlane(opened, settings=SETTINGS),
        sweep=plane.maintenance.sweep,
        now=now,
        ask=_ask,
    )


async def _remote(
    order: WorkerOrder, remote: Remote, stack: AsyncExitStack, random: Random
) -> Access:
    open_plane = cast(
        "Callable[[str], AbstractAsyncContextManager[ControlPlane]]", named(remote.opener)
    )
    plane = await stack.enter_async_context(open_plane(remote.url))

    async def now() -> int:
        return boot_micros() + remote.clock_offset

    kill_point = order.kill_point
    return Access(
        plane=plane,
        uninterrupted=plane,
        sweep=plane.maintenance.requeue_expired,
        now=now,
        ask=_ask if kill_point is None else _pointed(PointedCalls(Fuse(kill_point), random)),
        waits=_WAITS,
        tells_seconds=True,
    )


async def _ask(_: str, call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


def _pointed(calls: PointedCalls) -> Ask:
    async def ask(verb: str, call: Callable[[], Awaitable[Any]]) -> Any:
        if verb in _READING:
            return await call()
        return await calls.ask(verb if verb in _VERBS else "commit", call)

    return ask


async def _open_patiently(url: str, task: LabTask, stack: AsyncExitStack) -> Store:
    """Open the store, however long its server is unavailable: the server may be killed too."""
    passing = (StoreUnavailable, *(REFUSALS if task.refusals else ()))
    while True:
        try:
            opened = open_store(url, collections=COLLECTIONS)
            return await stack.enter_async_context(opened)
        except passing:
            await anyio.sleep(_PAUSE)


def wrapped(store: Store, wrap: str | None) -> Store:
    """Return the wrapper that a ``module:function`` returns for this store."""
    if wrap is None:
        return store
    return cast("Callable[[Store], Store]", named(wrap))(store)
