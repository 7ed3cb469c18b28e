"""The state of a running demo: scenes, jobs, agents, the last events.

The scenes and the event log fill it; :mod:`cicd_core.cli.demo.live` shows it, or a view line
by line.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from attrs import Factory, define

from cicd_core.model.event import Event
from cicd_core.model.job import FINAL_STATES, Job, JobState, Priority
from cicd_core.values import frozen

#: Number of events kept for the view.
_EVENTS: Final = 60
#: The status of an agent that the demo killed; the store notices it later.
KILLED: Final = "killed"
#: Setbacks: the line-by-line view shows them too, with their reason.
_WORTH_A_LINE: Final = frozenset({"job.retried", "job.lease_expired", "job.dead_lettered"})


class Scene(StrEnum):
    """The scenes, in the order of the view."""

    WORK = "real work"
    KILL = "kill -9"
    DEAD_LETTER = "dead letter"
    DEPLOYMENT = "deployment"
    CANCEL = "cancel"
    DELAY = "delay"
    SAME_KEY = "same key"
    DRAIN = "drain"


class Course(StrEnum):
    """The status of a scene."""

    WAITING = "waiting"
    GOING = "going"
    DONE = "done"
    FAILED = "failed"


@define
class SceneState:
    """The report of a scene."""

    course: Course = Course.WAITING
    text: str = ""
    #: Its results, for the JSON report.
    facts: dict[str, Any] = Factory(dict[str, Any])


@define
class JobLine:
    """A job, according to the events."""

    name: str
    priority: Priority
    state: JobState = JobState.PENDING
    agent_id: str | None = None
    attempt: int = 0
    #: Seconds since the start of the demo.
    since: float = 0.0


@define
class AgentLine:
    """An agent, according to the demo and the events."""

    status: str = "start"
    pid: int | None = None


@frozen
class EventLine:
    """An event, for the list of the newest."""

    seconds: float
    #: Its subject, and the change.
    subject: str
    what: str
    #: A state, which sets the colour.
    state: str


class Board:
    """The state of the demo. Only one event loop uses it."""

    def __init__(
        self,
        title: str,
        pool_name: str,
        clock: Callable[[], float],
        report: Callable[[float, str, str], None],
    ) -> None:
        """Start with an empty state.

        Args:
            title: the title of the demo.
            pool_name: the pool of the demo's jobs.
            clock: the seconds since the start of the demo.
            report: called for each line of a scene and each end of a job: time, subject, text.
        """
        self.title = title
        self.clock = clock
        #: The time of the last event.
        self.changed = 0.0
        self._pool_name = pool_name
        self._report = report
        self.scenes: dict[Scene, SceneState] = {scene: SceneState() for scene in Scene}
        self.jobs: dict[str, JobLine] = {}
        self.agents: dict[str, AgentLine] = {}
        self.events: deque[EventLine] = deque(maxlen=_EVENTS)

    def say(self, scene: Scene, text: str) -> None:
        """Show a step of a scene."""
        self._set(scene, Course.GOING, text)

    def done(self, scene: Scene, text: str, **facts: Any) -> None:
        """Show the end of a scene, and keep its results."""
        self.scenes[scene].facts.update(facts)
        self._set(scene, Course.DONE, text)

    def failed(self, scene: Scene, text: str) -> None:
        """Show that a scene failed."""
        self._set(scene, Course.FAILED, text)

    def add_job(self, job_id: str, name: str, priority: Priority) -> None:
        """Record a job with its name."""
        known = self.jobs.setdefault(job_id, JobLine(name, priority))
        known.name, known.priority = name, priority

    def count(self, *states: JobState) -> int:
        """Return the number of jobs in these states."""
        return sum(job.state in states for job in self.jobs.values())

    def queued_by_priority(self) -> Counter[Priority]:
        """Return the number of waiting jobs, by priority."""
        waiting = {JobState.QUEUED, JobState.CLAIMED}
        return Counter(job.priority for job in self.jobs.values() if job.state in waiting)

    def held_by(self, agent_id: str) -> list[JobLine]:
        """Return the jobs that an agent runs, or ran when it was killed and still leases."""
        held = {JobState.CLAIMED, JobState.RUNNING}
        return [job for job in self.jobs.values() if job.agent_id == agent_id and job.state in held]

    @property
    def ended(self) -> int:
        """The number of jobs with a final verdict."""
        return self.count(*FINAL_STATES)

    def see_running(self, jobs: Iterable[Job], now: datetime) -> None:
        """Add the running jobs: a claim appears in the log only with its next commit."""
        for job in jobs:
            known = self.jobs.get(job.job_id)
            if known is None:
                continue
            known.state, known.agent_id, known.attempt = job.state, job.agent_id, job.attempt
            passed = (now - (job.started_at or now)).total_seconds()
            known.since = self.clock() - passed

    def note(self, event: Event) -> None:
        """Add an event of the log."""
        self.changed = self.clock()
        collection, key = event.subject
        # An event may arrive before the caller that enqueued its job has its answer.
        if collection == "jobs" and event.data.get("pool") == self._pool_name:
            self.jobs.setdefault(key, JobLine(key, Priority.NORMAL))
        if collection == "jobs" and key in self.jobs:
            self._note_job(self.jobs[key], event)
        elif collection == "agents" and key in self.agents:
            status = str(event.data.get("to", ""))
            if self.agents[key].status != KILLED:
                self.agents[key].status = status
            self._add(key, event.type.partition(".")[2].replace("_", " "), status)
        elif collection == "deployments":
            version = str(event.data.get("version", ""))[:7]
            what = event.type.partition(".")[2].replace("_", " ")
            self._add(f"deployment {version}", what, str(event.data.get("to", "")))

    def _note_job(self, job: JobLine, event: Event) -> None:
        what = event.type.partition(".")[2].replace("_", " ")
        try:
            job.state = JobState(event.data["to"])
            job.since = self.clock()
        except (KeyError, ValueError):  # the event does not change the state
            pass
        if event.type == "job.claimed":
            job.agent_id = str(event.data["actor"])
            job.attempt = int(event.data["attempt"])
        if event.type in {"job.created", "job.claimed"}:
            return
        said = f"{what}{self._where(job, event)}"
        self._add(job.name, said, job.state.value)
        if event.type in _WORTH_A_LINE or job.state in FINAL_STATES:
            self._report(self.clock(), job.name, said)

    def _where(self, job: JobLine, event: Event) -> str:
        if job.state is JobState.RUNNING:
            return f" on {job.agent_id}, attempt {job.attempt}"
        if event.type in _WORTH_A_LINE:
            return f": {event.data.get('reason', '')}"
        return f" on {job.agent_id}" if job.state in FINAL_STATES and job.agent_id else ""

    def _add(self, subject: str, what: str, state: str) -> None:
        self.events.append(EventLine(self.clock(), subject, what, state))

    def _set(self, scene: Scene, course: Course, text: str) -> None:
        state = self.scenes[scene]
        state.course, state.text = course, text
        self._report(self.clock(), scene.value, text)
