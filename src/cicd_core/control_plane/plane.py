"""The control plane: every service over one store."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cicd_core.background import beside
from cicd_core.control_plane.agents import AgentService
from cicd_core.control_plane.dashboard import DashboardService
from cicd_core.control_plane.deployments import DeploymentService
from cicd_core.control_plane.enqueueing import JobFactory
from cicd_core.control_plane.events import EventService
from cicd_core.control_plane.jobs import JobService
from cicd_core.control_plane.lanes import LaneBook
from cicd_core.control_plane.maintenance import MaintenanceService
from cicd_core.control_plane.pools import PoolService
from cicd_core.control_plane.queue import QueueService
from cicd_core.control_plane.sessions import SessionService
from cicd_core.ids import IdSource
from cicd_core.model.checks import check_kind
from cicd_core.persistence.collections import COLLECTIONS
from cicd_core.persistence.context import Context
from cicd_core.persistence.mappings import (
    agent_kind,
    deployment_kind,
    job_kind,
    pool_kind,
    session_kind,
)
from cicd_core.persistence.repository import Repository
from cicd_core.settings import Settings
from cicd_core.store.registry import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from cicd_core.store.contract import Store


class ControlPlane:
    """Jobs, the queue, deployments, agents, pools, sessions, events: all over one store.

    Open one with :meth:`open`, or give a store of your own, which stays yours to close. It holds
    no state but caches: any number of them, in any number of processes, may share a store.
    """

    def __init__(
        self, store: Store, *, settings: Settings | None = None, ids: IdSource | None = None
    ) -> None:
        """Build the services over ``store``; nothing runs in the background.

        Raises:
            InvalidInput: ``settings`` are something else.
        """
        if settings is not None:
            check_kind("settings", settings, Settings)
        self.store = store
        self.settings = settings or Settings()
        self._ids = ids or IdSource()
        self._context = context = Context(store, self._ids, self.settings)
        lanes = LaneBook(context)
        job_records = Repository(job_kind(self.settings), context, lanes.ensure_for)
        agent_records = Repository(agent_kind(self.settings), context)
        maker = JobFactory(context, job_records, lanes)
        #: Agents: register, heartbeat, drain.
        self.agents = AgentService(context, agent_records)
        #: Jobs: create, list, cancel, replay, record, why.
        self.jobs = JobService(context, job_records, lanes, maker, self.agents)
        #: The queue: enqueue, claim, start, renew, complete, release, stats.
        self.queue = QueueService(context, job_records, lanes, maker, self.agents)
        #: Deployments: staging, production, rollback, metrics.
        self.deployments = DeploymentService(
            context, Repository(deployment_kind(self.settings), context)
        )
        #: Pools: sizes, condition, the scaling signal.
        self.pools = PoolService(context, Repository(pool_kind(), context), lanes, self.agents)
        #: Sessions: create, validate, log out.
        self.sessions = SessionService(context, Repository(session_kind(), context))
        #: The dashboard's summary.
        self.dashboard = DashboardService(context, self.jobs, self.deployments)
        #: The log of events.
        self.events = EventService(context)
        #: The reaper and the timers.
        self.maintenance = MaintenanceService(context, job_records, agent_records, lanes)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str = "memory://",
        *,
        settings: Settings | None = None,
        maintenance: bool = True,
        **options: Any,
    ) -> AsyncGenerator[ControlPlane]:
        """Open a store by its URL, and run maintenance in the background.

        Args:
            url: such as ``memory://`` or ``sqlite:///ci.db``.
            settings: leases, retention and so on.
            maintenance: whether this one looks for what is due; at least one must.
            options: for the store, see :func:`cicd_core.store.registry.open_store`.

        Raises:
            UnknownScheme: no store is registered for the URL's scheme.
            StoreError: the store can't be opened.
            InvalidInput: ``maintenance`` is no boolean, or ``settings`` are something else.
        """
        check_kind("maintenance", maintenance, bool)
        async with open_store(url, **options, collections=COLLECTIONS) as store:
            plane = cls(store, settings=settings)
            if not maintenance:
                yield plane
                return
            async with beside(plane.maintenance.run):
                yield plane

    async def now(self) -> datetime:
        """Return the store's calendar (UTC): what ages and delays are measured from."""
        return await self._context.calendar()

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[ControlPlane]:
        """Open another control plane on the same data, for another thread's event loop."""
        async with self.store.sibling() as store:
            yield ControlPlane(store, settings=self.settings, ids=self._ids)
