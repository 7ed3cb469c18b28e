"""What is known of a demo while it goes on: the scenes, the jobs, the agents, the last events.

It is filled by the scenes, and by the log of events; it is shown by :mod:`cicd_core.cli.demo.live`,
or line by line.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from attrs import Factory, define, frozen

from cicd_core.model.event import Event
from cicd_core.model.job import FINAL_STATES, Job, JobState, Priority

#: How many events are kept to be shown.
_EVENTS: Final = 60
#: What is said of an agent that the demo killed; the store learns of it later.
KILLED: Final = "killed"
#: Setbacks: they are told with their reason, line by line too.
_WORTH_A_LINE: Final = frozenset({"job.retried", "job.lease_expired", "job.dead_lettered"})


class Scene(StrEnum):
    """What is played, in the order in which it is shown."""

    WORK = "real work"
    KILL = "kill -9"
    DEAD_LETTER = "dead letter"
    DEPLOYMENT = "deployment"
    CANCEL = "cancel"
    DELAY = "delay"
    SAME_KEY = "same key"
    DRAIN = "drain"


class Course(StrEnum):
    """How far a scene is."""

    WAITING = "waiting"
    GOING = "going"
    DONE = "done"
    FAILED = "failed"


@define
class SceneState:
    """What is told of a scene."""

    course: Course = Course.WAITING
    text: str = ""
    #: What it found, for the machine's report.
    facts: dict[str, Any] = Factory(dict[str, Any])


@define
class JobLine:
    """A job, as the events tell it."""

    name: str
    priority: Priority
    state: JobState = JobState.PENDING
    agent_id: str | None = None
    attempt: int = 0
    #: Seconds since the demo began.
    since: float = 0.0


@define
class AgentLine:
    """An agent, as the demo and the events tell it."""

    status: str = "starting"
    pid: int | None = None


@frozen
class EventLine:
    """An event, for the list of the newest."""

    seconds: float
    #: What it is about, and what happened to it.
    subject: str
    what: str
    #: A state, which gives the colour.
    state: str


class Board:
    """The state of the demo. Only one event loop uses it."""

    def __init__(
        self,
        title: str,
        pool_name: str,
        clock: Callable[[], float],
        told: Callable[[float, str, str], None],
    ) -> None:
        """Begin with nothing known.

        Args:
            title: what the demo is about.
            pool_name: whose jobs are its own.
            clock: the seconds since the demo began.
            told: gets every word of every scene, and every end of a job: when, of what, the word.
        """
        self.title = title
        self.clock = clock
        #: When the last event came.
        self.changed = 0.0
        self._pool_name = pool_name
        self._told = told
        self.scenes: dict[Scene, SceneState] = {scene: SceneState() for scene in Scene}
        self.jobs: dict[str, JobLine] = {}
        self.agents: dict[str, AgentLine] = {}
        self.events: deque[EventLine] = deque(maxlen=_EVENTS)

    def say(self, scene: Scene, text: str) -> None:
        """Tell how a scene goes on."""
        self._set(scene, Course.GOING, text)

    def done(self, scene: Scene, text: str, **facts: Any) -> None:
        """Tell how a scene ended, and keep what it found."""
        self.scenes[scene].facts.update(facts)
        self._set(scene, Course.DONE, text)

    def failed(self, scene: Scene, text: str) -> None:
        """Tell that a scene did not end as it should."""
        self._set(scene, Course.FAILED, text)

    def add_job(self, job_id: str, name: str, priority: Priority) -> None:
        """Know a job by its name."""
        known = self.jobs.setdefault(job_id, JobLine(name, priority))
        known.name, known.priority = name, priority

    def count(self, *states: JobState) -> int:
        """Return how many jobs are in one of these states."""
        return sum(job.state in states for job in self.jobs.values())

    def queued_by_priority(self) -> Counter[Priority]:
        """Return how many jobs wait, by their priority."""
        waiting = {JobState.QUEUED, JobState.CLAIMED}
        return Counter(job.priority for job in self.jobs.values() if job.state in waiting)

    def held_by(self, agent_id: str) -> list[JobLine]:
        """Return what an agent runs, or ran when it was killed and still has a lease on."""
        held = {JobState.CLAIMED, JobState.RUNNING}
        return [job for job in self.jobs.values() if job.agent_id == agent_id and job.state in held]

    @property
    def ended(self) -> int:
        """How many jobs have a final verdict."""
        return self.count(*FINAL_STATES)

    def see_running(self, jobs: Iterable[Job], now: datetime) -> None:
        """Take the jobs that run at this moment: a claim is told in the log by its next commit."""
        for job in jobs:
            known = self.jobs.get(job.job_id)
            if known is None:
                continue
            known.state, known.agent_id, known.attempt = job.state, job.agent_id, job.attempt
            passed = (now - (job.started_at or now)).total_seconds()
            known.since = self.clock() - passed

    def note(self, event: Event) -> None:
        """Take an event of the log."""
        self.changed = self.clock()
        collection, key = event.subject
        # An event may be read before the one who enqueued its job has got an answer.
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
        except (KeyError, ValueError):  # it tells of something within a state
            pass
        if event.type == "job.claimed":
            job.agent_id = str(event.data["by"])
            job.attempt = int(event.data["attempt"])
        if event.type in {"job.created", "job.claimed"}:
            return
        said = f"{what}{self._where(job, event)}"
        self._add(job.name, said, job.state.value)
        if event.type in _WORTH_A_LINE or job.state in FINAL_STATES:
            self._told(self.clock(), job.name, said)

    def _where(self, job: JobLine, event: Event) -> str:
        if job.state is JobState.RUNNING:
            return f" on {job.agent_id}, attempt {job.attempt}"
        if event.type in _WORTH_A_LINE:
            return f": {event.data.get('why', '')}"
        return f" on {job.agent_id}" if job.state in FINAL_STATES and job.agent_id else ""

    def _add(self, subject: str, what: str, state: str) -> None:
        self.events.append(EventLine(self.clock(), subject, what, state))

    def _set(self, scene: Scene, course: Course, text: str) -> None:
        state = self.scenes[scene]
        state.course, state.text = course, text
        self._told(self.clock(), scene.value, text)
