"""DashboardService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.dashboard import DashboardService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from datetime import tzinfo

    from cicd_core.control_plane.activity import Activity
    from cicd_core.control_plane.dashboard import DashboardSummary


class DashboardService(Facade[Service]):
    """The summary; its cost does not grow with the number of jobs."""

    def summary(self, *, tz: str | tzinfo = UTC) -> DashboardSummary:
        """Return the summary.

        Args:
            tz: the time zone of "today": a name such as ``Europe/Zurich``, or a tzinfo.

        Raises:
            InvalidInput: there is no time zone with that name.
        """
        return self._call(partial(self._service.summary, tz=tz))

    def activity(self) -> Activity:
        """Return the endings of the last 24 hours, and the times of the last 14 days."""
        return self._call(partial(self._service.activity))
