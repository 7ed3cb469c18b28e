"""Following jobs until they have ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.agent.retry import patiently
from cicd_core.model.job import FINAL_STATES, Job, JobState

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.event import Event

#: From a dead letter only an operator leads on: whoever waits need not wait for that.
RESTING: Final = FINAL_STATES | {JobState.DEAD_LETTERED}
#: How soon, and how late at most, one looks again while nothing happens, in seconds.
_FIRST_PAUSE: Final = 0.02
_LAST_PAUSE: Final = 0.5


async def wait_for(
    plane: ControlPlane,
    jobs: Sequence[Job],
    cursor: str,
    tell: Callable[[Event], None],
) -> list[Job]:
    """Return the jobs as they are when the last of them has ended, in the order given.

    Args:
        plane: where they are.
        jobs: as they were when they were enqueued.
        cursor: a place in the log before that.
        tell: gets every event of theirs.
    """
    known = {job.job_id: job for job in jobs}
    left = {job_id for job_id, job in known.items() if job.state not in RESTING}
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
        # Where the log has a gap, the end of any of them may have been in it.
        ended = left if page.torn else {each.subject[1] for each in mine if _rests(each)}
        # So may it be what an event would have told that can't be read.
        ended |= left & {each.subject[1] for each in page.unreadable}
        for job_id in ended:
            known[job_id] = await patiently(partial(plane.jobs.get, job_id), what="reading a job")
        left = {job_id for job_id in left if known[job_id].state not in RESTING}
        pause = _FIRST_PAUSE if page.entries else min(pause * 2, _LAST_PAUSE)
        if not page.entries:
            await anyio.sleep(pause)
    return list(known.values())


def _rests(event: Event) -> bool:
    return event.data.get("to") in RESTING
