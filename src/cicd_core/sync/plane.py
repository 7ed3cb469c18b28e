"""The control plane, for callers without an event loop."""

from __future__ import annotations

import atexit
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Unpack

from anyio.from_thread import start_blocking_portal

from cicd_core.control_plane.plane import ControlPlane as AsyncControlPlane
from cicd_core.forks import keep_for_ever
from cicd_core.sync.portal import Calls
from cicd_core.sync.services.agents import AgentService
from cicd_core.sync.services.dashboard import DashboardService
from cicd_core.sync.services.deployments import DeploymentService
from cicd_core.sync.services.events import EventService
from cicd_core.sync.services.jobs import JobService
from cicd_core.sync.services.keys import KeyService
from cicd_core.sync.services.maintenance import MaintenanceService
from cicd_core.sync.services.pools import PoolService
from cicd_core.sync.services.queue import QueueService
from cicd_core.sync.services.sessions import SessionService

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from cicd_core.settings import Settings
    from cicd_core.store.options import StoreOptions


class ControlPlane:
    """Jobs, the queue, deployments, agents, pools, sessions, events, for synchronous callers.

    Open it with :meth:`open`. Any number of threads may use it concurrently. After a fork, open a
    new one in each child; a child that leaves the parent's block does not close the parent's.

    Example:
        .. code-block:: python

            from cicd_core import JobSpec
            from cicd_core.sync import ControlPlane

            with ControlPlane.open("memory://") as control_plane:
                job = control_plane.queue.enqueue(JobSpec(job_type="build"))
                print(control_plane.jobs.get(job.job_id).status)
    """

    def __init__(self, plane: AsyncControlPlane, calls: Calls) -> None:
        """Wrap a control plane; ``calls`` runs calls in its event loop."""
        self._plane = plane
        self._calls = calls
        self.settings = plane.settings
        #: Agents: register, heartbeat, drain.
        self.agents = AgentService(plane.agents, calls)
        #: Jobs: create, list, wait, cancel, replay, record, why.
        self.jobs = JobService(plane.jobs, calls)
        #: API keys: create, list, replace, revoke.
        self.keys = KeyService(plane.keys, calls)
        #: The queue: enqueue, claim, start, renew, complete, release, stats.
        self.queue = QueueService(plane.queue, calls)
        #: Deployments: staging, production, rollback, metrics.
        self.deployments = DeploymentService(plane.deployments, calls)
        #: Pools: sizes, condition, the scaling signal.
        self.pools = PoolService(plane.pools, calls)
        #: Sessions: create, validate, log out.
        self.sessions = SessionService(plane.sessions, calls)
        #: The dashboard's summary.
        self.dashboard = DashboardService(plane.dashboard, calls)
        #: The log of events.
        self.events = EventService(plane.events, calls)
        #: The reaper and the timers.
        self.maintenance = MaintenanceService(plane.maintenance, calls)

    @classmethod
    @contextmanager
    def open(
        cls,
        url: str | None = None,
        *,
        settings: Settings | None = None,
        maintenance: bool = True,
        **options: Unpack[StoreOptions],
    ) -> Generator[ControlPlane]:
        """Open a store by its URL, in a thread with an event loop, and run maintenance there.

        At the end of the block, waiting calls of other threads end with ``StoreClosed``, and the
        event loop's thread ends.

        Args:
            url: the store's URL, such as ``sqlite:///ci.db``. By default, the value of the
                environment variable ``CICD_STORE``, or ``sqlite:///cicd.db`` in the current folder;
                the program's log names the store.
            settings: leases, retention and so on.
            maintenance: whether this control plane runs maintenance; at least one must.
            options: options of the store, see :func:`cicd_core.store.registry.open_store`.

        Raises:
            UnknownScheme: no store is registered for the URL's scheme.
            StoreError: the store cannot be opened.
            InvalidInput: ``maintenance`` is not a boolean, or ``settings`` is not a ``Settings``.
        """
        opening = AsyncControlPlane.open(url, settings=settings, maintenance=maintenance, **options)
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            plane = stack.enter_context(portal.wrap_async_context_manager(opening))
            calls = Calls(portal)
            end = partial(_end_at_exit, calls, stack)
            atexit.register(end)
            try:
                yield cls(plane, calls)
            finally:
                atexit.unregister(end)
                _end_calls(calls, stack)

    def now(self) -> datetime:
        """Return the time on the store's calendar (UTC), which ages and delays refer to."""
        return self._calls.wait_for(self._plane.now)


def _end_calls(calls: Calls, stack: ExitStack) -> None:
    calls.close()
    if calls.is_inherited:  # only the parent has the event loop's thread
        keep_for_ever(stack.pop_all())


def _end_at_exit(calls: Calls, stack: ExitStack) -> None:
    """Close the control plane at the program's exit, while its event loop's thread still runs."""
    _end_calls(calls, stack)
    stack.close()
