"""What maintenance does when it is asked to, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.control_plane.maintenance import SweepReport
from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.values import from_wire

if TYPE_CHECKING:
    from cicd_core.http.client.connection import Connection


class RemoteMaintenance:
    """Maintenance on the other side; the server itself looks at what is due."""

    def __init__(self, connection: Connection) -> None:
        """Take the way to the server."""
        self._connection = connection

    async def requeue_expired(self) -> SweepReport:
        """Take back the jobs whose leases have run out, now, and return what was done."""
        path = path_of("queue", "maintenance", "requeue-expired")
        return from_wire(
            SweepReport, await self._connection.call("POST", path, {}, repeatable=True)
        )
