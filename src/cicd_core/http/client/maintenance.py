"""Maintenance on request, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.control_plane.maintenance import SweepReport
from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.values import from_wire

if TYPE_CHECKING:
    from cicd_core.http.client.connection import Connection


class RemoteMaintenance:
    """Maintenance of a server, which also processes due records by itself."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def requeue_expired(self) -> SweepReport:
        """Requeue jobs with expired leases now, and return the result."""
        path = path_of("queue", "maintenance", "requeue-expired")
        return from_wire(
            SweepReport, await self._connection.call("POST", path, {}, repeatable=True)
        )
