"""The audit of a storm of agents: what jobs did, against what the store says that they did."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from cicd_core.audit import audit
from cicd_core.lifecycle.job_steps import (
    FIRST_ATTEMPTS,
    FIRST_STEPS,
    LAST_ATTEMPTS,
    LAST_STEPS,
    first_and_last,
)
from cicd_core.model.job import RESTING_STATES, Delivery, JobState
from cicd_core.queueing.retry import RELEASES_PER_ATTEMPT
from tests.http.lab.witness import FAILURE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cicd_core import ControlPlane
    from cicd_core.model.event import Event
    from cicd_core.model.job import Job
    from tests.http.lab.witness import Line

#: How many lines of a job are shown as evidence, around the ones that contradict.
_SHOWN: Final = 12
_HELD: Final = (JobState.CLAIMED, JobState.RUNNING)


@frozen(kw_only=True)
class Contradiction:
    """Something that contradicts a promise."""

    #: ``lost``, ``unfinished``, ``result``, ``overlap``, ``attempts``, ``history``, ``audit``,
    #: ``left`` or ``broken``.
    kind: str
    why: str
    job_id: str = ""
    lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.kind}: {f'job {self.job_id}: ' * bool(self.job_id)}{self.why}"
        return "\n    ".join((head, *self.lines))


@define
class Attempt:
    """A claim, as the events tell it."""

    number: int
    fence: int
    agent_id: str
    #: The event that ended it.
    end: Event | None = None

    @property
    def verdict(self) -> str | None:
        """What it ended with; None: it was given back, or has not ended."""
        if self.end is None:
            return None
        final = self.end.data["to"] not in {JobState.QUEUED, JobState.DEAD_LETTERED}
        said: str | None = self.end.data["to"] if final else self.end.data["verdict"]
        return said

    @property
    def is_its_agents_word(self) -> bool:
        """Whether its own agent reported the end."""
        return self.end is not None and self.end.data["actor"] == self.agent_id


@define
class Execution:
    """All that is known of one job."""

    job: Job
    events: Sequence[Event]
    lines: Sequence[Line]
    attempts: list[Attempt] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Gather the attempts from the events."""
        self.attempts = []
        for event in self.events:
            data = event.data
            if event.type == "job.claimed":
                self.attempts.append(Attempt(data["attempt"], data["fence"], data["actor"]))
            elif data.get("from") in _HELD and data.get("to") not in (None, *_HELD):
                self.attempts[-1].end = event

    def lines_of(self, attempt: int, what: str) -> list[Line]:
        """Return the lines of one kind that an attempt wrote."""
        return [line for line in self.lines if (line.attempt, line.what) == (attempt, what)]


#: A reason, and the lines that show it.
Found = tuple[str, "Sequence[Line]"]


def _unfinished(seen: Execution) -> Iterator[Found]:
    if seen.job.state not in RESTING_STATES:
        yield f"it is {seen.job.state.value} at the end", seen.lines


def _results(seen: Execution) -> Iterator[Found]:
    """A verdict that an agent reported is that of a command which came to its end."""
    codes = {JobState.SUCCESS.value: 0, JobState.FAILED.value: FAILURE}
    for attempt in seen.attempts:
        verdict = attempt.verdict if attempt.is_its_agents_word else None
        wanted = [codes[verdict]] if verdict in codes else None
        found = [line.code for line in seen.lines_of(attempt.number, "end")]
        if wanted is not None and found != wanted:
            yield f"attempt {attempt.number} is {verdict}, but its ends are {found}", seen.lines
    last = seen.attempts[-1].verdict if seen.attempts else None
    if seen.job.state is JobState.SUCCESS and last != JobState.SUCCESS:
        yield f"it is a success, but its last attempt is {last}", seen.lines


def _overlaps(seen: Execution) -> Iterator[Found]:
    """All lines of an attempt come before those of the next one; at most once means one begin."""
    newest = 0
    for line in seen.lines:
        if line.attempt < newest:
            around = [each for each in seen.lines if abs(each.number - line.number) < _SHOWN * 10]
            yield f"attempt {line.attempt} goes on after the begin of attempt {newest}", around
            break
        newest = max(newest, line.attempt)
    begins = [line for line in seen.lines if line.what == "begin"]
    if seen.job.delivery is Delivery.AT_MOST_ONCE and len(begins) > 1:
        yield f"it may run at most once, and has begun {len(begins)} times", begins
    for attempt in {line.attempt for line in seen.lines}:
        own = [line.what for line in seen.lines if line.attempt == attempt]
        if own[0] != "begin" or own.count("begin") > 1 or own.count("end") > 1:
            yield f"attempt {attempt} did not begin once and end once", seen.lines


def _attempts(seen: Execution) -> Iterator[Found]:
    """Attempts are counted without a gap, and no more than may be; each line belongs to one."""
    numbers = [attempt.number for attempt in seen.attempts]
    if numbers != list(range(1, seen.job.attempt + 1)):
        yield f"it has {seen.job.attempt} attempts, its events have {numbers}", seen.lines
    used, releases = 0, 0
    for attempt in seen.attempts:
        given_back = attempt.end is not None and attempt.verdict is None
        releases = releases + 1 if given_back else 0
        used += not given_back or releases % RELEASES_PER_ATTEMPT == 0
    if used != seen.job.attempts_used or used > seen.job.max_attempts:
        counted = f"{used} of its attempts count, it says {seen.job.attempts_used}"
        yield f"{counted} of {seen.job.max_attempts}", seen.lines
    claims = {(attempt.number, attempt.fence) for attempt in seen.attempts}
    strange = [line for line in seen.lines if (line.attempt, line.fence) not in claims]
    if strange:
        yield "it ran without a claim", strange
    unused = {each.number for each in seen.job.attempts if each.started_at is None}
    begun = [line for line in seen.lines if line.attempt in unused]
    if begun:
        yield "it ran in an attempt that never began", begun


def _history(seen: Execution) -> Iterator[Found]:
    """The events lead to the record: the same steps, and the same claims."""
    steps = tuple(
        (data.get("from"), data["to"], data["actor"], event.at)
        for event in seen.events
        if "to" in (data := event.data)
    )
    known = tuple((step.source, step.target, step.actor, step.at) for step in seen.job.history)
    if first_and_last(steps, FIRST_STEPS, LAST_STEPS) != known:
        yield f"its history is {_short(known)}, its events say {_short(steps)}", ()
    claims = tuple((each.number, each.fence, each.agent_id) for each in seen.attempts)
    kept = tuple((each.number, each.fence, each.agent_id) for each in seen.job.attempts)
    if first_and_last(claims, FIRST_ATTEMPTS, LAST_ATTEMPTS) != kept:
        yield f"its claims are {kept}, its events say {claims}", ()


def _short(steps: Iterable[tuple[object, ...]]) -> str:
    return " ".join(str(target) for _, target, *_ in steps)


_CHECKS: Final[Mapping[str, Callable[[Execution], Iterator[Found]]]] = {
    "unfinished": _unfinished,
    "result": _results,
    "overlap": _overlaps,
    "attempts": _attempts,
    "history": _history,
}


def check_execution(seen: Execution) -> list[Contradiction]:
    """Return what contradicts the promises about one job."""
    return [
        Contradiction(
            kind=kind, why=why, job_id=seen.job.job_id, lines=tuple(map(str, lines[-_SHOWN:]))
        )
        for kind, check in _CHECKS.items()
        for why, lines in check(seen)
    ]


def check_enqueues(
    acknowledged: Mapping[str, set[str]], jobs: Mapping[str, Job]
) -> list[Contradiction]:
    """Return acknowledged jobs that are missing, and keys that do not have one job each."""
    found = [
        Contradiction(kind="lost", why="its enqueue was acknowledged", job_id=job_id)
        for answers in acknowledged.values()
        for job_id in sorted(answers - jobs.keys())
    ]
    by_key: defaultdict[str | None, set[str]] = defaultdict(set)
    for job in jobs.values():
        by_key[job.idempotency_key].add(job.job_id)
    for key, answers in acknowledged.items():
        ids = sorted(answers | by_key[key])
        if len(ids) != 1:
            found.append(Contradiction(kind="lost", why=f"key {key!r} has the jobs {ids}"))
    return found


@define
class Audited:
    """The records, and what contradicts."""

    jobs: dict[str, Job]
    attempts: int
    contradictions: list[Contradiction]


async def audit_executions(
    plane: ControlPlane, acknowledged: Mapping[str, set[str]], lines: Sequence[Line]
) -> Audited:
    """Audit a store that is at rest, and what its jobs wrote."""
    jobs = {job.job_id: job async for job in plane.jobs.iterate()}
    events = await _events(plane)
    written: defaultdict[str, list[Line]] = defaultdict(list)
    for line in lines:
        written[line.job_id].append(line)
    found = check_enqueues(acknowledged, jobs)
    found += [
        Contradiction(kind="attempts", why="it ran, and is not there", job_id=job_id)
        for job_id in written.keys() - jobs.keys()
    ]
    attempts = 0
    for job_id, job in jobs.items():
        seen = Execution(job, events[job_id], written[job_id])
        found += check_execution(seen)
        attempts += len(seen.attempts)
    report = await audit(plane, ended=[*jobs])
    found += [
        Contradiction(kind="audit", why=f"{check.name}: {fault}")
        for check in report.checks
        for fault in check.faults
    ]
    return Audited(jobs, attempts, found)


async def _events(plane: ControlPlane) -> defaultdict[str, list[Event]]:
    found: defaultdict[str, list[Event]] = defaultdict(list)
    cursor: str | None = None
    while (page := await plane.events.read(cursor, limit=1000)).entries:
        cursor = page.cursor
        for event in page.events:
            collection, key = event.subject
            if collection == "jobs":
                found[key].append(event)
    return found
