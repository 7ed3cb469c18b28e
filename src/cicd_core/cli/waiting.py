"""Following jobs until they have ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.agent.retry import patiently
from cicd_core.model.job import RESTING_STATES, Job

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.event import Event

#: The shortest and longest interval between reads of an idle log, in seconds.
_FIRST_PAUSE: Final = 0.02
_LAST_PAUSE: Final = 0.5


async def wait_for(
    plane: ControlPlane,
    jobs: Sequence[Job],
    cursor: str,
    tell: Callable[[Event], None],
) -> list[Job]:
    """Return the jobs after the last of them has ended, in the order given.

    Args:
        plane: their control plane.
        jobs: the jobs after their enqueue.
        cursor: a position in the log before that.
        tell: called with each of their events.
    """
    known = {job.job_id: job for job in jobs}
    left = {job_id for job_id, job in known.items() if job.state not in RESTING_STATES}
    pause = _FIRST_PAUSE
    while left:
        page = await patiently(
            partial(plane.events.read, cursor, limit=500), what="reading the log"
        )
        cursor = page.cursor
        mine = [
            each for each in page.events if each.subject[0] == "jobs" and each.subject[1] in left
        ]
        for event in mine:
            tell(event)
        # A gap in the log may contain the end of any of them.
        ended = left if page.truncated else {each.subject[1] for each in mine if _rests(each)}
        # So may an unreadable event.
        ended |= left & {each.subject[1] for each in page.unreadable}
        for job_id in ended:
            known[job_id] = await patiently(partial(plane.jobs.get, job_id), what="reading a job")
        left = {job_id for job_id in left if known[job_id].state not in RESTING_STATES}
        pause = _FIRST_PAUSE if page.entries else min(pause * 2, _LAST_PAUSE)
        if not page.entries:
            await anyio.sleep(pause)
    return list(known.values())


def _rests(event: Event) -> bool:
    return event.data.get("to") in RESTING_STATES
