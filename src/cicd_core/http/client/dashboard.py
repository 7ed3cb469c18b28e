"""The dashboard's summary, over HTTP."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from cicd_core.control_plane.activity import Activity
from cicd_core.control_plane.dashboard import DashboardSummary
from cicd_core.errors import InvalidInput
from cicd_core.http.client.paths import path_of
from cicd_core.http.wire.values import from_wire

if TYPE_CHECKING:
    from cicd_core.http.client.connection import Connection


class RemoteDashboard:
    """The summary of a server; the same methods as ``DashboardService``."""

    def __init__(self, connection: Connection) -> None:
        """Take the connection to the server."""
        self._connection = connection

    async def summary(self, *, tz: str | tzinfo = UTC) -> DashboardSummary:
        """Return the summary.

        Args:
            tz: the time zone of "today": a name such as ``Europe/Zurich``, or a ``ZoneInfo``; the
                server looks it up.

        Raises:
            InvalidInput: there is no time zone with that name, or the tzinfo has no name.
        """
        query = {"tz": _name_of(tz)}
        answer = await self._connection.get(path_of("dashboard", "overview"), query)
        return from_wire(DashboardSummary, answer)

    async def activity(self) -> Activity:
        """Return the endings of the last 24 hours, and the times of the last 14 days."""
        answer = await self._connection.get(path_of("dashboard", "activity"))
        return from_wire(Activity, answer)


def _name_of(tz: str | tzinfo) -> str:
    if tz is UTC:
        return "UTC"
    name = tz.key if isinstance(tz, ZoneInfo) else tz
    if not isinstance(name, str):
        raise InvalidInput("tz", tz, "give an IANA name such as Europe/Zurich, or UTC")
    return name
