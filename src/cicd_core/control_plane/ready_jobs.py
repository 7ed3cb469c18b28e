"""The jobs of a pool that can be claimed now, in the order of claiming."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.model.checks import check_integer, check_name
from cicd_core.persistence.collections import JOBS, READY
from cicd_core.persistence.grants import load_job
from cicd_core.persistence.merging import read_merged
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.store.records import Partition
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.model.job import Job
    from cicd_core.persistence.context import Context

#: Maximum number of jobs returned.
MOST: Final = 500


@frozen
class ReadyJobs:
    """The first jobs of a pool that can be claimed."""

    #: By priority, then by age: an agent that serves all of them claims them in this order.
    items: tuple[Job, ...]
    #: Whether there are more jobs after these.
    more: bool
    #: The keys of omitted records, which do not decode.
    unreadable: tuple[str, ...] = ()


async def read_ready(context: Context, lanes: LaneBook, pool_name: str, limit: int) -> ReadyJobs:
    """Return the first jobs of a pool that can be claimed.

    Raises:
        InvalidInput: a limit outside 1 to 500, or a wrong name.
    """
    check_integer("limit", limit, least=1, most=MOST)
    keys = await lanes.of_pool(check_name("pool_name", pool_name))
    partitions = [Partition(JOBS.name, READY, key) for key in keys]
    if not partitions:
        return ReadyJobs((), more=False)
    found = await read_merged(context, partitions, limit=limit)
    items: list[Job] = []
    unreadable = [key for _, key in found.unreadable]
    for _, record in found.records:
        try:
            items.append(load_job(record).value)
        except UNREADABLE:
            unreadable.append(record.key)
    return ReadyJobs(tuple(items), found.more, tuple(unreadable))
