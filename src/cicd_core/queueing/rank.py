"""The place of a job in the queue, as a text that sorts as the queue does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.instants import sort_key, to_micros

if TYPE_CHECKING:
    from datetime import datetime

    from cicd_core.model.job import Priority


def rank(priority: Priority, queued_at: datetime, job_id: str) -> str:
    """Return the sort value of a job: the smallest one is claimed first.

    One digit of priority, 16 digits of microseconds since the epoch, and the job's id: the order
    of the texts is the order of ``(priority, queued_at, job_id)``, in every store alike.

    Args:
        priority: the more urgent, the smaller.
        queued_at: the first enqueue or the replay, an aware datetime from 1970 to 2286; a retry
            does not change it, so that a job keeps its place.
        job_id: makes the rank unique.
    """
    return f"{priority:d}{sort_key(to_micros(queued_at), job_id)}"
