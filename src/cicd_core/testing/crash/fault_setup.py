"""Where a worker is to die: the points of the file that it opens are armed before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.testing.crash.fault_points import Fuse
from cicd_core.testing.crash.plan import ANYWHERE

if TYPE_CHECKING:
    from cicd_core.testing.crash.plan import Bomb


def arm_process(bomb: Bomb | None) -> None:
    """Put the points of a SQLite file on all that this process opens from now on."""
    if bomb is not None and bomb.point not in ANYWHERE:
        # Only who has such a file needs what it takes to watch one.
        from cicd_core.testing.crash.sqlite_points import arm  # noqa: PLC0415 - see above

        arm(Fuse(bomb))
