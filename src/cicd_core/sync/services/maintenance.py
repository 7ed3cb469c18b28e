"""MaintenanceService for synchronous callers: made by docs/sync_facade.py."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cicd_core.control_plane.maintenance import MaintenanceService as Service
from cicd_core.sync.portal import Facade

if TYPE_CHECKING:
    from cicd_core.control_plane.maintenance import SweepReport


class MaintenanceService(Facade[Service]):
    """Processes due records. Every control plane runs it, unless opened without."""

    def sweep(self) -> SweepReport:
        """Process all due records, leader or not, and return the result.

        Expired leases come first, and one batch of each timer in turn: a large backlog of one kind
        delays the detection of lost holders by at most a batch.

        Cost: a page per timer if nothing is due, whatever the size of the store. A record with a
            renewed lease is read once per remaining lease time, and once a minute in a page: this
            process remembers it between sweeps.
        """
        return self._call(partial(self._service.sweep))

    def requeue_expired(self) -> SweepReport:
        """Requeue jobs with expired leases; do not run the other timers."""
        return self._call(partial(self._service.requeue_expired))
