"""The dashboard's summary: a few counts, a few counters, and the newest of each."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - cattrs resolves annotations
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cicd_core.control_plane.activity import Activity, read_activity
from cicd_core.control_plane.statistics import read_measured
from cicd_core.errors import InvalidInput
from cicd_core.lifecycle.deployment_counts import DEPLOYMENTS as DEPLOYMENT_COUNTS
from cicd_core.lifecycle.deployment_counts import counts_between
from cicd_core.model.deployment import Deployment, DeploymentStatus
from cicd_core.model.job import Job, JobStatus
from cicd_core.persistence.collections import (
    BY_DEPLOYMENT_STATUS,
    BY_STATUS,
    DEPLOYMENTS,
    JOBS,
    job_statuses,
)
from cicd_core.queueing.measures import groups_between
from cicd_core.store.records import Partition
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.control_plane.deployments import DeploymentService
    from cicd_core.control_plane.jobs import JobService
    from cicd_core.persistence.context import Context

#: Time zones that need no time zone database.
_UTC = ("UTC", "Etc/UTC", "Z")
#: Number of newest jobs and deployments shown.
RECENT = 5


@frozen(kw_only=True)
class DashboardSummary:
    """The overview for the start page."""

    #: On the store's clock (UTC).
    as_of: datetime
    #: The local midnight (in the requested time zone) at which "today" starts.
    today_since: datetime
    jobs_running: int
    #: Jobs that ended as failed, timeout, error or dead letter today.
    failed_today: int
    #: Deployments that were created today.
    deployments_today: int
    jobs_by_status: Mapping[JobStatus, int]
    deployments_by_status: Mapping[DeploymentStatus, int]
    recent_jobs: tuple[Job, ...]
    recent_deployments: tuple[Deployment, ...]
    #: The collections and keys of records that are newer than the last ones above and do not
    #: decode: they are omitted.
    unreadable: tuple[tuple[str, str], ...] = ()
    #: False: some counts are estimates.
    exact: bool


class DashboardService:
    """The summary; its cost does not grow with the number of jobs."""

    def __init__(self, context: Context, jobs: JobService, deployments: DeploymentService) -> None:
        self._context = context
        self._jobs = jobs
        self._deployments = deployments

    async def summary(self, *, tz: str | tzinfo = UTC) -> DashboardSummary:
        """Return the summary.

        Args:
            tz: the time zone of "today": a name such as ``Europe/Zurich``, or a tzinfo.

        Raises:
            InvalidInput: there is no time zone with that name.
        """
        zone = _zone(tz)
        now = await self._context.calendar()
        # The first of two midnights, if the clocks go back over midnight.
        midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        since = midnight.astimezone(UTC)
        jobs = [Partition(JOBS.name, BY_STATUS, value) for value in job_statuses()]
        deployments = [
            Partition(DEPLOYMENTS.name, BY_DEPLOYMENT_STATUS, status.value)
            for status in DeploymentStatus
        ]
        counts = await self._context.store.count([*jobs, *deployments])
        numbers = [count.number for count in counts]
        by_value = dict(zip(job_statuses(), numbers[: len(jobs)], strict=True))
        by_status = {
            status: sum(by_value[value] for value in job_statuses(status)) for status in JobStatus
        }
        measured = await read_measured(self._context, since, now, None)
        recent_jobs = await self._jobs.list(limit=RECENT)
        recent_deployments = await self._deployments.list(limit=RECENT)
        return DashboardSummary(
            as_of=now,
            today_since=since,
            jobs_running=by_status[JobStatus.RUNNING],
            failed_today=measured.failed,
            deployments_today=await self._deployments_since(since, now),
            jobs_by_status=by_status,
            deployments_by_status=dict(zip(DeploymentStatus, numbers[len(jobs) :], strict=True)),
            recent_jobs=recent_jobs.items,
            recent_deployments=recent_deployments.items,
            unreadable=(
                *((JOBS.name, key) for key in recent_jobs.unreadable),
                *((DEPLOYMENTS.name, key) for key in recent_deployments.unreadable),
            ),
            exact=all(count.exact for count in counts),
        )

    async def activity(self) -> Activity:
        """Return the endings of the last 24 hours, and the times of the last 14 days."""
        return await read_activity(self._context)

    async def _deployments_since(self, since: datetime, now: datetime) -> int:
        until = now + timedelta(microseconds=1)
        values = await self._context.counters(groups_between(DEPLOYMENT_COUNTS, since, until))
        return counts_between(values, since, until).get("created", 0)


def _zone(tz: str | tzinfo) -> tzinfo:
    if isinstance(tz, tzinfo):
        return tz
    try:
        return UTC if tz in _UTC else ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        hint = "give an IANA name such as Europe/Zurich, or UTC"
        if not available_timezones():
            hint = "this machine has no time zone database: pip install tzdata, or give UTC"
        raise InvalidInput("tz", tz, hint) from None
