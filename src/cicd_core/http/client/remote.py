"""The control plane, over HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cicd_core.http.client.address import Address
from cicd_core.http.client.agents import RemoteAgents
from cicd_core.http.client.connection import Connection
from cicd_core.http.client.dashboard import RemoteDashboard
from cicd_core.http.client.deployments import RemoteDeployments
from cicd_core.http.client.events import RemoteEvents
from cicd_core.http.client.job_logs import RemoteJobLogs
from cicd_core.http.client.jobs import RemoteJobs
from cicd_core.http.client.keys import RemoteKeys
from cicd_core.http.client.maintenance import RemoteMaintenance
from cicd_core.http.client.pools import RemotePools
from cicd_core.http.client.queue import RemoteQueue
from cicd_core.http.client.sessions import RemoteSessions
from cicd_core.http.wire.values import instant_from_wire, part_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator
    from datetime import datetime
    from types import TracebackType
    from typing import Self


class RemoteControlPlane:
    """A control plane across the network, with the services of ``ControlPlane``.

    The services have the same signatures and raise the same errors, and ``StoreUnavailable`` if
    the server can't be reached. Calls that are safe to repeat are tried up to four times. The
    server replaces ``actor`` with the authenticated caller.

    An agent can use it in place of a control plane, on asyncio and on trio. It belongs to one
    event loop: use a :meth:`sibling` in another thread, and open a new one in a forked child. After
    the end of the block, and in a forked child, calls raise ``StoreClosed``.

    Example:
        An agent that reaches its control plane over HTTPS:

        .. code-block:: python

            async def work(key: str) -> None:
                async with RemoteControlPlane("https://ci.example.org", key) as control_plane:
                    agent = Agent(control_plane)
                    agent.add_handler("shell", ShellHandler())
                    await agent.run()
    """

    def __init__(
        self,
        url: str,
        credentials: str | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        """Take the server's address; the first call connects.

        Args:
            url: the root of the application, such as ``https://ci.example.org``.
            credentials: the token of a key; None if the server needs none.
            ssl_context: the trusted certificates; by default the system's, or those of
                ``SSL_CERT_FILE``.
            proxy: the URL of a proxy; by default as the environment says (``HTTPS_PROXY``,
                ``NO_PROXY``).

        Raises:
            InvalidInput: it is not an HTTP URL, the credentials are not a text, or a variable for a
                proxy or certificates is invalid.
            UnsupportedCapability: the proxy needs a package that is not installed.
        """
        address = Address(url=url, credentials=credentials, ssl_context=ssl_context, proxy=proxy)
        self._connection = connection = Connection(address)
        #: Agents: register, heartbeat, drain.
        self.agents = RemoteAgents(connection)
        #: The dashboard's summary.
        self.dashboard = RemoteDashboard(connection)
        #: Deployments: staging, production, rollback, metrics.
        self.deployments = RemoteDeployments(connection)
        #: The log of events.
        self.events = RemoteEvents(connection)
        #: Jobs: create, list, wait, cancel, replay, record, why.
        self.jobs = RemoteJobs(connection)
        #: Logs of jobs, if the server stores them: append, read, follow.
        self.job_logs = RemoteJobLogs(connection)
        #: API keys of programs and agents: create, replace, revoke, authenticate.
        self.keys = RemoteKeys(connection)
        #: Requeueing the jobs of lost agents.
        self.maintenance = RemoteMaintenance(connection)
        #: Pools: sizes, condition, the scaling signal.
        self.pools = RemotePools(connection)
        #: The queue: enqueue, claim, start, renew, complete, release, stats.
        self.queue = RemoteQueue(connection)
        #: Sessions: create, validate, log out.
        self.sessions = RemoteSessions(connection)

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._connection.aclose()

    async def now(self) -> datetime:
        """Return the time of the store's calendar (UTC), the base of ages and delays."""
        answer = await self._connection.get("/health/ready")
        return instant_from_wire(part_of(answer, "store_time"))

    @asynccontextmanager
    async def sibling(self) -> AsyncGenerator[RemoteControlPlane]:
        """Open another connection to the same server, for another thread's event loop."""
        way = self._connection.address
        async with RemoteControlPlane(
            way.url, way.credentials, ssl_context=way.ssl_context, proxy=way.proxy
        ) as twin:
            yield twin
