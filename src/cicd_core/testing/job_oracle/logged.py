"""The history of each job in the log of the store."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from attrs import define, field

from cicd_core.audit.reading import LogReader
from cicd_core.audit.report import Findings
from cicd_core.ids import IdSource
from cicd_core.model.instants import to_micros
from cicd_core.persistence.collections import JOBS
from cicd_core.persistence.context import Context

if TYPE_CHECKING:
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.model.event import Event

#: The actor of maintenance in the log.
REAPER: Final = "maintenance"
_HELD: Final = frozenset({"claimed", "running"})


@define
class LoggedAttempt:
    """A claim of a job in the log. Times are the store's, in microseconds."""

    agent: str
    claimed: int
    started: bool = False
    ended: int | None = None
    ended_by: str | None = None
    #: Whether it had not started by the job's deadline, which does not wait for a lease.
    missed_deadline: bool = False


@define
class LoggedJob:
    """The history of a job in the log."""

    attempts: dict[int, LoggedAttempt] = field(factory=dict[int, LoggedAttempt])
    progressed: int = 0
    cancels: int = 0
    replays: int = 0
    state: str | None = None
    #: The fence of the last claim.
    fence: int = 0

    def claimed_again(self, fence: int) -> int | None:
        """Return the time of the next claim of the job; None: there was none."""
        return min(
            (attempt.claimed for other, attempt in self.attempts.items() if other > fence),
            default=None,
        )


class LoggedJobs:
    """The log of a run, job by job."""

    def __init__(self) -> None:
        self.jobs: defaultdict[str, LoggedJob] = defaultdict(LoggedJob)
        #: The jobs of the events since the last check.
        self.touched: set[str] = set()

    async def read(self, plane: ControlPlane) -> None:
        """Add the whole log of an idle store."""
        context = Context(plane.store, IdSource(), plane.settings)
        # The audit, which also reads the log, reports entries that do not decode.
        async for event in LogReader(context, Findings()).rest():
            if event.subject[0] == JOBS.name:
                self.add(event)

    def add(self, event: Event) -> None:
        """Add the next event."""
        job = self.jobs[event.subject[1]]
        self.touched.add(event.subject[1])
        source, target = event.data.get("from"), event.data.get("to")
        by = event.data.get("actor")
        job.state = target or job.state
        job.progressed += event.type == "job.progress"
        job.cancels += event.type in {"job.cancelled", "job.cancel_requested"}
        job.replays += event.type == "job.replayed"
        if event.type == "job.claimed":
            job.fence = event.data["fence"]
            job.attempts[job.fence] = LoggedAttempt(agent=str(by), claimed=_stamp(event))
            return
        fence = event.data.get("fence")
        attempt = job.attempts.get(fence) if isinstance(fence, int) else None
        if attempt is None:
            return
        attempt.started |= event.type == "job.started"
        if source in _HELD and target not in _HELD:
            attempt.ended = _stamp(event)
            attempt.ended_by = None if by is None else str(by)
            attempt.missed_deadline = source == "claimed" and target == "timeout"


def _stamp(event: Event) -> int:
    """Return the time of an event on the store's steady clock (µs)."""
    return int(event.data.get("stamp", to_micros(event.at)))
