"""The control plane: every service over one store."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Unpack

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
from cicd_core.entities import COLLECTIONS
from cicd_core.errors import InvalidInput
from cicd_core.ids import IdSource
from cicd_core.keys.mapping import API_KEY
from cicd_core.keys.service import KeyService
from cicd_core.model.checks import check_kind
from cicd_core.persistence import mappings
from cicd_core.persistence.context import Context
from cicd_core.persistence.repository import Repository
from cicd_core.settings import Settings
from cicd_core.store.default import chosen_url
from cicd_core.store.registry import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import datetime

    from cicd_core.store.contract import Store
    from cicd_core.store.options import StoreOptions

#: The advice for an argument that is not a store.
_NO_STORE: Final = (
    "give an open store, which `async with open_store(url, collections=COLLECTIONS) as store` "
    "yields; or open both with `async with ControlPlane.open(url)`"
)


class ControlPlane:
    """Jobs, the queue, deployments, agents, pools, sessions, events: all over one store.

    Open one with :meth:`open`, or pass your own store, which you then close yourself. It has
    no state but caches: any number of them, in any number of processes, may share a store.
    """

    def __init__(
        self, store: Store, *, settings: Settings | None = None, ids: IdSource | None = None
    ) -> None:
        """Build the services over ``store``; nothing runs in the background.

        Raises:
            InvalidInput: ``store`` is not an open store, or ``settings`` is not a ``Settings``.
        """
        # Checked by its verbs: a store may be a proxy, or a class without the protocol.
        if not all(hasattr(store, name) for name in ("lifetime", "commit")):
            raise InvalidInput("store", store, _NO_STORE)
        if settings is not None:
            check_kind("settings", settings, Settings)
        self.settings = settings or Settings()
        self._ids = ids or IdSource()
        self._context = context = Context(store, self._ids, self.settings)
        #: The store, with the checks and the retries that the services use.
        self.store = context.store
        lanes = LaneBook(context)
        job_records = Repository(mappings.JOB, context, lanes.ensure_for)
        agent_records = Repository(mappings.AGENT, context)
        maker = JobFactory(context, job_records, lanes)
        #: Agents: register, heartbeat, drain.
        self.agents = AgentService(context, agent_records)
        #: The log of events.
        self.events = EventService(context, job_records)
        #: Jobs: create, list, wait, cancel, replay, record, why.
        self.jobs = JobService(context, job_records, lanes, maker, self.agents, events=self.events)
        #: The queue: enqueue, claim, start, renew, complete, release, stats.
        self.queue = QueueService(context, job_records, lanes, maker, self.agents)
        #: Deployments: staging, production, rollback, metrics.
        self.deployments = DeploymentService(context, Repository(mappings.DEPLOYMENT, context))
        #: Pools: sizes, condition, the scaling signal.
        self.pools = PoolService(context, Repository(mappings.POOL, context), lanes, self.agents)
        #: Sessions: create, validate, log out.
        self.sessions = SessionService(context, Repository(mappings.SESSION, context))
        #: API keys of programs and agents: create, replace, revoke, authenticate.
        self.keys = KeyService(context, Repository(API_KEY, context))
        #: The dashboard's summary.
        self.dashboard = DashboardService(context, self.jobs, self.deployments)
        #: The reaper and the timers.
        self.maintenance = MaintenanceService(context, job_records, agent_records, lanes)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str | None = None,
        *,
        settings: Settings | None = None,
        maintenance: bool = True,
        **options: Unpack[StoreOptions],
    ) -> AsyncGenerator[ControlPlane]:
        """Open a store by its URL, and run maintenance in the background.

        Args:
            url: such as ``memory://`` or ``sqlite:///ci.db``. By default the value of the variable
                ``CICD_STORE``, or ``sqlite:///cicd.db`` in the current folder, as on the command
                line; the program's log says which.
            settings: leases, retention and so on.
            maintenance: whether this one runs maintenance; at least one must.
            options: those of the store, see :func:`cicd_core.store.registry.open_store`.

        Raises:
            UnknownScheme: no store is registered for the URL's scheme.
            StoreError: the store cannot be opened.
            InvalidInput: ``maintenance`` is not a boolean, or ``settings`` is not a ``Settings``.
        """
        check_kind("maintenance", maintenance, bool)
        address = chosen_url() if url is None else url
        async with open_store(address, **options, collections=COLLECTIONS) as store:
            plane = cls(store, settings=settings)
            if not maintenance:
                yield plane
                return
            async with beside(plane.maintenance.run):
                yield plane

    async def now(self) -> datetime:
        """Return the time of the store's calendar (UTC), the base of ages and delays."""
        return await self._context.calendar()

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[ControlPlane]:
        """Open another control plane on the same data, for another thread's event loop."""
        async with self.store.sibling() as store:
            yield ControlPlane(store, settings=self.settings, ids=self._ids)
