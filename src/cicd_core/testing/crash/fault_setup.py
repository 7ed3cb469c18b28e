"""Sets the fault points of a worker, in the files that it opens, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.testing.crash.fault_points import Fuse
from cicd_core.testing.crash.plan import ANYWHERE

if TYPE_CHECKING:
    from cicd_core.testing.crash.plan import KillPoint


def arm_process(kill_point: KillPoint | None) -> None:
    """Add kill points to all SQLite files that this process opens from now on."""
    if kill_point is not None and kill_point.point not in ANYWHERE:
        # Only workers with such a file need the watcher.
        from cicd_core.testing.crash.sqlite_points import arm  # noqa: PLC0415 - see above

        arm(Fuse(kill_point))
