"""Filters of job lists, and the partitions that they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import astuple

from cicd_core.ids import made_between
from cicd_core.model.checks import check_name, check_optional_label, check_optional_name
from cicd_core.model.choices import check_choice
from cicd_core.model.instants import from_micros
from cicd_core.model.job import Job, JobStatus
from cicd_core.persistence.collections import (
    BY_AGENT,
    BY_POOL,
    BY_STATUS,
    JOBS,
    job_statuses,
    of_pool,
)
from cicd_core.store.limits import MAX_INSTANT
from cicd_core.store.records import Partition
from cicd_core.values import frozen

if TYPE_CHECKING:
    from datetime import datetime


@frozen
class JobFilter:
    """Matches jobs with all these values; None matches any."""

    status: JobStatus | None
    agent_id: str | None
    pool_name: str | None
    job_type: str | None
    #: A tag, or ``name=value`` of the metadata.
    tag: str | None
    id_prefix: str | None = None

    @classmethod
    def checked(
        cls,
        status: JobStatus | str | None,
        agent_id: str | None,
        pool_name: str | None,
        job_type: str | None,
        tag: str | None,
        *,
        id_prefix: str | None = None,
    ) -> JobFilter:
        """Return the filter with checked fields.

        Raises:
            InvalidInput: an unknown status, or another field is wrong.
        """
        return cls(
            None if status is None else check_choice("status", status, JobStatus),
            None if agent_id is None else check_name("agent_id", agent_id),
            None if pool_name is None else check_name("pool_name", pool_name),
            check_optional_name("job_type", job_type),
            check_optional_label("tag", tag),
            check_optional_name("id_prefix", id_prefix),
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The identity of a list with this filter."""
        return tuple(map(str, astuple(self)))

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """The partitions of these jobs; they also contain others."""
        if self.agent_id is not None:
            return (Partition(JOBS.name, BY_AGENT, self.agent_id),)
        statuses = job_statuses(self.status)
        if self.pool_name is not None:
            values = [of_pool(self.pool_name, status) for status in statuses]
            return tuple(Partition(JOBS.name, BY_POOL, value) for value in values)
        return tuple(Partition(JOBS.name, BY_STATUS, value) for value in statuses)

    def has(self, job: Job) -> bool:
        """Return whether a job of those partitions matches."""
        return (
            self.status in {None, job.status}
            and self.pool_name in {None, job.pool_name}
            and self.job_type in {None, job.job_type}
            and self._has_tag(job)
            and (self.id_prefix is None or job.job_id.startswith(self.id_prefix))
        )

    @property
    def within(self) -> tuple[datetime, datetime] | None:
        """The time in which these jobs were created, as their generated ids show; None: any.

        Both are of the calendar as it was then, wherever it and the steady clock are now.
        """
        made = None if self.id_prefix is None else made_between(self.id_prefix)
        if made is None or made[1] >= MAX_INSTANT:
            return None
        return from_micros(made[0]), from_micros(made[1])

    def _has_tag(self, job: Job) -> bool:
        if self.tag is None:
            return True
        name, is_pair, value = self.tag.partition("=")
        return job.metadata.get(name) == value if is_pair else self.tag in job.tags
