"""The program's agent without what stops its work when a lease is lost: the audit must find out."""

from __future__ import annotations

from cicd_core.agent.active_job import ActiveJob
from cicd_core.cli.main import main


def _ignore(_job: ActiveJob, _news: object) -> None:
    """Neither the work nor its guard hears of the lease."""


if __name__ == "__main__":
    ActiveJob.keep_to = ActiveJob.lose = _ignore  # type: ignore[assignment,method-assign] # the fault that is put in
    main()
