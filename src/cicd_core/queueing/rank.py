"""The place of a job in the queue, as a text that sorts as the queue does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.instants import sort_key, to_micros

if TYPE_CHECKING:
    from cicd_core.model.job import Job, Priority


def rank_of(job: Job) -> str:
    """Return the sort value of a job, which has it while it is in the queue."""
    stamp = job.queued_stamp
    if stamp is None:  # as an older version of the library wrote it, when there was one clock
        stamp = to_micros(job.queued_at or job.created_at)
    return rank(job.priority, stamp, job.job_id)


def rank(priority: Priority, stamp: int, job_id: str) -> str:
    """Return the sort value of a job: the smallest one is claimed first.

    One digit of priority, 16 digits of microseconds, and the job's id: the order of the texts is
    the order of ``(priority, stamp, job_id)``, in every store alike.

    Args:
        priority: the more urgent, the smaller.
        stamp: the store's steady time at the first enqueue or the replay, so that no clock that
            is set makes a job wait behind all later ones; a retry does not change it, so that a
            job keeps its place.
        job_id: makes the rank unique.
    """
    return f"{priority:d}{sort_key(stamp, job_id)}"
