"""The place of a job in the queue, as a text that sorts in the order of the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.instants import sort_key, to_micros

if TYPE_CHECKING:
    from cicd_core.model.job import Job, Priority


def rank_of(job: Job) -> str:
    """Return the sort value that a job has while it is in the queue."""
    stamp = job.queued_stamp
    if stamp is None:  # written by an older version of the library, which had only one clock
        stamp = to_micros(job.queued_at or job.created_at)
    return rank(job.priority, stamp, job.job_id)


def rank(priority: Priority, stamp: int, job_id: str) -> str:
    """Return the sort value of a job: the smallest one is claimed first.

    It has one digit of priority, 16 digits of microseconds, and the job's id. So the order of the
    texts is the order of ``(priority, stamp, job_id)``, in every store.

    Args:
        priority: the smaller, the more urgent.
        stamp: the store's steady time (µs) at the first enqueue or the replay. Setting a clock
            can't make a job wait behind all later ones. A retry does not change it, so that a job
            keeps its place.
        job_id: makes the rank unique.
    """
    return f"{priority:d}{sort_key(stamp, job_id)}"
