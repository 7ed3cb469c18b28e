"""Whatever becomes of a job, and of the clocks: the log and the counters tell the same numbers."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_core.audit.counter_check import Recount
from cicd_core.audit.history_check import Trails
from cicd_core.audit.report import CheckResult, Findings, Promise
from cicd_core.errors import IllegalTransition, LeaseLost
from cicd_core.lifecycle import jobs, leases
from cicd_core.model.instants import to_micros
from cicd_core.model.job import Delivery, Job, LeaseToken, RetryPolicy, Verdict
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec, checked
from cicd_core.persistence.collections import JOBS
from cicd_core.persistence.event_bodies import decode_event, encode_event
from cicd_core.store.records import LogEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
STRANGER = LeaseToken(fence=1, claim_id="0" * 32)
EVERYTHING = (Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR)


@define
class Clocks:
    """The calendar, and the steady clock (µs), as one step read them."""

    now: datetime
    steady: int


Step: TypeAlias = "Callable[[Job, Clocks], Decision[Job]]"


def claim(job: Job, at: Clocks, *, start: bool) -> Decision[Job]:
    claim_id = f"{job.attempt:032d}"
    return leases.claim(
        job, agent_id="a-1", claim_id=claim_id, now=at.now, start=start, steady=at.steady
    )


def release(job: Job, at: Clocks, *, began: bool) -> Decision[Job]:
    token = job.token or STRANGER
    return leases.release(job, token, now=at.now, reason="-", began=began, steady=at.steady)


def end(job: Job, at: Clocks, *, verdict: Verdict) -> Decision[Job]:
    outcome = Outcome(verdict=verdict, exit_code=1 if verdict is Verdict.FAILED else None)
    return leases.complete(job, job.token or STRANGER, outcome, now=at.now, steady=at.steady)


def expire(job: Job, at: Clocks, *, late: bool) -> Decision[Job]:
    return leases.expire_lease(job, now=at.now, limit_reached=late, steady=at.steady)


STEPS: dict[str, Step] = {
    "claim": partial(claim, start=False),
    "claim and start": partial(claim, start=True),
    "start": lambda job, at: leases.start(job, job.token or STRANGER, now=at.now),
    "give back": partial(release, began=True),
    "give back unused": partial(release, began=False),
    "lose": partial(expire, late=False),
    "hang": partial(expire, late=True),
    "turn away": lambda job, at: leases.expire_claim(
        job, job.token or STRANGER, now=at.now, steady=at.steady
    ),
    "replay": lambda job, at: jobs.replay(job, now=at.now, actor="ann", steady=at.steady),
    "cancel": lambda job, at: jobs.cancel(job, now=at.now, actor="ann", reason="-"),
    "miss the deadline": lambda job, at: jobs.expire_deadline(job, now=at.now),
    **{f"end in {verdict}": partial(end, verdict=verdict) for verdict in Verdict},
}


NAMES = tuple(STEPS)
#: A step's name, and how many microseconds the steady clock goes on until it, and the calendar
#: further than that.
Move: TypeAlias = tuple[str, int, int]


@define
class Life:
    """A job, what was counted of it, and what the log tells."""

    job: Job
    version: int = 0
    counters: Counter[str] = field(factory=Counter[str])
    log: list[LogEntry] = field(factory=list[LogEntry])

    def take(self, decision: Decision[Job]) -> None:
        self.job = decision.value
        if not decision.events:
            return
        self.version += 1
        for ordinal, draft in enumerate(decision.events):
            body = encode_event(draft)
            entry = LogEntry(
                collection=JOBS.name, key="j", version=self.version, ordinal=ordinal, body=body
            )
            self.log.append(entry)
        for increment in decision.increments:
            self.counters[increment.name] += increment.amount


def lived(delivery: Delivery, moves: list[Move]) -> Life:
    """Return a job's life: at each move its clocks go on, and the next step that may comes."""
    spec = checked(
        JobSpec(
            job_type="build",
            delivery=delivery,
            retry=RetryPolicy(max_attempts=3, retry_on=EVERYTHING),
            deadline_at=NOON + timedelta(days=2),
        )
    )
    at = Clocks(NOON, to_micros(NOON))
    made = jobs.create(spec, job_id="j", now=NOON, actor="ann")
    life = Life(made.value)
    life.take(made)
    life.take(jobs.submit(life.job, now=at.now, actor="ann", steady=at.steady))
    for name, passed, further in moves:
        at = Clocks(at.now + timedelta(microseconds=passed + further), at.steady + passed)
        first = NAMES.index(name)
        for step in (*NAMES[first:], *NAMES[:first]):
            try:
                life.take(STEPS[step](life.job, at))
            except (IllegalTransition, LeaseLost):
                continue
            break
    return life


#: The clocks go alike, or one is read behind the other, or the calendar is set meanwhile.
FURTHER = st.integers(-3, 3) | st.integers(-(10**11), 10**11)
MOVES = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 2_000_000), FURTHER), max_size=20)


@given(st.sampled_from(Delivery), MOVES)
@example(Delivery.AT_LEAST_ONCE, [("claim and start", 1, 0), ("end in success", 1, 2_000_000)])
@example(Delivery.AT_LEAST_ONCE, [("claim and start", 1, 0), ("end in success", 2_000_000, -1)])
@example(Delivery.AT_MOST_ONCE, [("claim and start", 1, 0), ("give back unused", 1, 0)])
def test_a_recount_of_the_log_is_what_was_counted(delivery: Delivery, moves: list[Move]) -> None:
    life = lived(delivery, moves)
    recount, findings = Recount(), Findings()
    trails = Trails({}, recount, findings)
    for entry in life.log:
        trails.add(decode_event(entry), counted=True)
    recount.compare(life.counters, findings, "")
    (check,) = (each for each in findings.checks() if each.name is Promise.COUNTERS)
    assert check.faults == ()
    assert check.result is CheckResult.OK
