"""A job in the hands of several agents, operators and timers at once, all of them unreliable."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from cicd_core.errors import IllegalTransition, InvalidInput, LeaseLost
from cicd_core.lifecycle import jobs, leases, tracked_runs
from cicd_core.lifecycle.job_steps import FIRST_STEPS, LAST_STEPS, first_and_last
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.instants import to_micros
from cicd_core.model.job import (
    FINAL_STATES,
    Delivery,
    Job,
    JobState,
    LeaseToken,
    Priority,
    Progress,
    RetryPolicy,
    Verdict,
)
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec, checked
from cicd_core.persistence.codec import JOB
from cicd_core.persistence.collections import (
    DELAYED,
    job_attributes,
    job_statuses,
    of_pool,
)
from cicd_core.store.records import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.lifecycle.decision import Decision

S = JobState
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HELD = {S.CLAIMED, S.RUNNING}
AGENTS = st.sampled_from(["a-1", "a-2", "a-3"])
SOON = st.integers(-60, 600).map(lambda seconds: NOON + timedelta(seconds=seconds))
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 4),
    retry_on=st.sets(st.sampled_from([Verdict.FAILED, Verdict.TIMEOUT, Verdict.ERROR])).map(tuple),
    jitter=st.sampled_from([0.0, 0.5]),
)


def startable(spec: JobSpec) -> bool:
    return spec.run_at is None or spec.deadline_at is None or spec.run_at < spec.deadline_at


SPECS = st.builds(
    JobSpec,
    job_type=st.just("build"),
    priority=st.sampled_from(Priority),
    delivery=st.sampled_from(Delivery),
    retry=POLICIES,
    run_at=st.none() | SOON,
    deadline_at=st.none() | SOON,
).filter(startable)
ENDS = {
    "success": Outcome.exited(0),
    "failed": Outcome.exited(7),
    "error": Outcome.error("no disk"),
    "long error": Outcome.error("x" * 6000, logs_summary="y" * 20_000),
    "timeout": Outcome.timeout("too slow"),
    "cancelled": Outcome.cancelled("stopped"),
}
OUTCOMES = st.sampled_from(sorted(ENDS))
#: Commands that mostly end a job are given less often, or no job would live to see the others.
SELDOM = st.sampled_from([False, False, False, True])
#: Nobody was ever given this one.
STRANGER = LeaseToken(fence=1, claim_id="f" * 32)
#: All edges by the command that takes them; a renewal is the store's own.
EDGES = {(edge.source, edge.target) for edge in JOB_TABLE.edges if edge.command != "renew"}


class JobMachine(RuleBasedStateMachine):
    """One job after another, the tokens that were ever given, and a clock that may stand still."""

    tokens = Bundle("tokens")

    @initialize(spec=SPECS, pending=SELDOM, target=tokens)
    def begin(self, spec: JobSpec, pending: bool) -> LeaseToken:
        self.now = NOON
        self.create(spec)
        if not pending:
            self.enqueue()
        return STRANGER

    def create(self, spec: JobSpec) -> None:
        decision = jobs.create(checked(spec), job_id="j-1", now=self.now, actor="ann")
        self.job: Job = decision.value
        self.path = [decision.value.history[0]]
        self.told = list(decision.events)
        self.counted: Counter[str] = Counter()
        self.ended: Job | None = None

    # ---------------------------------------------------------------- what anybody may do

    @rule(seconds=st.integers(0, 120))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def enqueue(self) -> None:
        self.give(lambda job: jobs.submit(job, now=self.now, actor="ann"))

    @rule()
    def promote(self) -> None:
        self.give(lambda job: jobs.promote(job, now=self.now))

    @rule()
    def expire_deadline(self) -> None:
        self.give(lambda job: jobs.expire_deadline(job, now=self.now))

    @rule(limit_reached=st.booleans())
    def expire_lease(self, limit_reached: bool) -> None:
        self.give(lambda job: leases.expire_lease(job, now=self.now, limit_reached=limit_reached))

    @precondition(lambda self: self.job.is_final)
    @rule(spec=SPECS, really=SELDOM)
    def another_job(self, spec: JobSpec, really: bool) -> None:
        """The tokens of the last one stay: they own nothing of this one."""
        if really:
            self.create(spec)
            self.enqueue()

    @rule(really=SELDOM)
    def cancel(self, really: bool) -> None:
        if not really:
            return
        self.give(lambda job: jobs.cancel(job, now=self.now, actor="bob", reason="no"))

    @rule(priority=st.sampled_from(Priority))
    def reprioritise(self, priority: Priority) -> None:
        self.give(lambda job: jobs.reprioritise(job, priority, now=self.now, actor="bob"))

    @rule(attempts=st.none() | st.integers(0, 3))
    def replay(self, attempts: int | None) -> None:
        self.give(lambda job: jobs.replay(job, now=self.now, actor="bob", attempts=attempts))

    @rule(really=SELDOM)
    def record_start(self, really: bool) -> None:
        if not really:
            return
        self.give(
            lambda job: tracked_runs.record_start(
                job, now=self.now, actor="jenkins", started_at=None
            )
        )

    @rule(end=OUTCOMES, really=SELDOM)
    def record_execution(self, end: str, really: bool) -> None:
        if not really:
            return
        outcome = ENDS[end]
        self.give(
            lambda job: tracked_runs.record_execution(job, outcome, now=self.now, actor="jenkins")
        )

    @rule(target=tokens, agent=AGENTS, start=st.booleans(), ready=st.booleans())
    def claim(self, agent: str, start: bool, ready: bool) -> LeaseToken:
        if ready and self.job.state is S.QUEUED and self.job.run_at is not None:
            self.now = max(self.now, self.job.run_at)
            self.promote()
        before = self.job
        claim_id = f"{len(self.told):032x}"
        self.give(
            lambda job: leases.claim(
                job, agent_id=agent, claim_id=claim_id, now=self.now, start=start
            )
        )
        if self.job is before:
            return STRANGER
        assert self.job.fence > before.fence
        assert self.job.fence >= to_micros(self.now)
        assert self.job.attempt == before.attempt + 1
        assert self.job.token is not None
        return self.job.token

    # ---------------------------------------------------------------- what holders do, old and new

    @rule(token=tokens)
    def start(self, token: LeaseToken) -> None:
        self.give_by(token, lambda job: leases.start(job, token, now=self.now))

    @rule(token=tokens, percent=st.none() | st.floats(-1, 101))
    def progress(self, token: LeaseToken, percent: float | None) -> None:
        told = Progress(at=self.now, percent=percent, message="linking")
        self.give_by(token, lambda job: leases.report_progress(job, token, told, now=self.now))

    @rule(token=tokens, end=OUTCOMES)
    def complete(self, token: LeaseToken, end: str) -> None:
        outcome = ENDS[end]
        self.give_by(token, lambda job: leases.complete(job, token, outcome, now=self.now))

    @precondition(lambda self: self.job.state in HELD and not self.job.tracked)
    @rule(end=OUTCOMES)
    def the_holder_starts_and_completes(self, end: str) -> None:
        token = self.job.token
        assert token is not None
        self.start(token)
        self.complete(token, end)

    @rule(token=tokens)
    def release(self, token: LeaseToken) -> None:
        self.give_by(token, lambda job: leases.release(job, token, now=self.now, reason="drained"))

    @rule(token=consumes(tokens), end=OUTCOMES)
    def complete_twice(self, token: LeaseToken, end: str) -> None:
        """As a caller does who does not know what became of the first call."""
        self.complete(token, end)
        after = self.job
        self.complete(token, end)
        assert self.job is after

    @rule(token=consumes(tokens))
    def release_twice(self, token: LeaseToken) -> None:
        self.release(token)
        after = self.job
        self.release(token)
        assert self.job is after

    # ---------------------------------------------------------------- how they are given

    def give_by(self, token: LeaseToken, command: Callable[[Job], Decision[Job]]) -> None:
        """Give a command of a holder: a token that does not own the job changes nothing (I8)."""
        before = self.job
        self.give(command)
        if before.state not in HELD or before.token != token:
            assert self.job is before

    def give(self, command: Callable[[Job], Decision[Job]]) -> None:
        before = self.job
        try:
            decision = command(before)
        except (IllegalTransition, LeaseLost, InvalidInput):
            return
        if not decision.changed:
            assert decision.value is before
            assert (decision.events, decision.increments) == ((), ())
            return
        event(f"{before.state} -> {decision.value.state}")
        self.job = decision.value
        assert decision.events
        kept = self.job.history
        steps = len(kept) + self.job.history_left_out - len(self.path)
        self.path += kept[len(kept) - steps :]
        assert kept == first_and_last(tuple(self.path), FIRST_STEPS, LAST_STEPS)
        self.told += decision.events
        for increment in decision.increments:
            self.counted[increment.name.rsplit("|", 1)[1]] += increment.amount
            self.counted[increment.name.partition("/")[0]] += increment.amount
        if self.job.is_final:
            self.ended = self.job

    # ---------------------------------------------------------------- what always holds

    @invariant()
    def a_job_ends_once_and_then_nothing_happens_to_it(self) -> None:
        final = [step for step in self.path if step.target in FINAL_STATES]
        assert len(final) <= 1
        if self.ended is not None:
            assert self.job is self.ended
            assert self.path[-1].target is self.job.state

    @invariant()
    def the_history_is_a_path_of_the_table(self) -> None:
        assert (self.path[0].source, self.path[0].target) == (None, S.PENDING)
        for earlier, step in zip(self.path, self.path[1:], strict=False):
            assert step.source is earlier.target
            assert (step.source, step.target) in EDGES
            assert step.at >= earlier.at
        assert len(self.job.history) + self.job.history_left_out == len(self.path)

    @invariant()
    def no_more_attempts_are_used_than_are_allowed(self) -> None:
        job = self.job
        assert 0 <= job.attempts_used <= job.max_attempts
        assert job.attempts_used <= job.attempt
        if job.state is S.QUEUED:
            assert job.attempts_used < job.max_attempts
        assert [attempt.number for attempt in job.attempts] == list(range(1, job.attempt + 1))[-50:]

    @invariant()
    def exactly_the_attempt_of_a_holder_is_open(self) -> None:
        job = self.job
        open_ones = [attempt for attempt in job.attempts if attempt.ended_at is None]
        if job.state in HELD and not job.tracked:
            assert open_ones == [job.attempts[-1]]
            assert job.token == open_ones[0].token
            assert (open_ones[0].started_at is not None) == (job.state is S.RUNNING)
        else:
            assert open_ones == []

    @invariant()
    def fences_only_grow(self) -> None:
        fences = [attempt.fence for attempt in self.job.attempts]
        assert fences == sorted(set(fences))
        assert self.job.fence == (fences[-1] if fences else 0)

    @invariant()
    def an_at_most_once_job_starts_at_most_once(self) -> None:
        if self.job.delivery is Delivery.AT_MOST_ONCE:
            starts = [told for told in self.told if told.type == "job.started"]
            assert len(starts) <= 1

    @invariant()
    def a_cancel_that_was_requested_is_never_forgotten(self) -> None:
        if self.job.cancel_requested_at is not None:
            assert self.job.state not in {S.PENDING, S.QUEUED, S.DEAD_LETTERED}

    @invariant()
    def what_is_counted_agrees_with_what_happened(self) -> None:
        claims = sum(told.type == "job.claimed" for told in self.told)
        begun = sum(told.type == "job.started" for told in self.told)
        unseen = sum(
            step.source is S.PENDING and step.target in FINAL_STATES and self.job.tracked
            for step in self.path
        )
        running = self.job.state is S.RUNNING
        waits, runs = self.counted["n"], begun + unseen - running
        assert waits == claims + runs, "one wait a claim, one run an end"
        results = [result for result in self.counted if result in {*Verdict, "dead_lettered"}]
        ends = sum(self.counted[result] for result in results)
        left = sum(
            step.target in FINAL_STATES or step.target is S.DEAD_LETTERED for step in self.path
        )
        assert ends == left

    @invariant()
    def its_record_tells_all_of_it(self) -> None:
        assert JOB.decode("j-1", JOB.encode(self.job)).value == self.job

    @invariant()
    def only_what_can_be_claimed_is_in_a_lane(self) -> None:
        job = self.job
        attributes = job_attributes(job, self.lease())
        ready = job.state is S.QUEUED and job.ready_at is not None
        assert ("lane" in attributes) == ready == ("rank" in attributes)
        assert ("dead_letter" in attributes) == (job.state is S.DEAD_LETTERED)
        assert attributes["status"] in job_statuses(job.status)
        if job.state is S.QUEUED:
            assert (attributes["status"] == DELAYED) == (not ready)
        assert attributes["pool_status"] == of_pool(job.pool_name, attributes["status"])
        assert ("timer" in attributes) == ("due" in attributes)
        held = job.state in HELD and not job.tracked
        somebody_waits = held or (job.state is S.QUEUED and not ready)
        never_started = all(each.started_at is None for each in job.attempts)
        if job.deadline_at is not None and never_started and job.state in {S.PENDING, S.QUEUED}:
            somebody_waits = True
        assert ("timer" in attributes) == somebody_waits

    def lease(self) -> Lease | None:
        if self.job.state not in HELD or self.job.claim_id is None:
            return None
        granted = to_micros(self.now)
        return Lease(
            claim_id=self.job.claim_id,
            granted=granted,
            renewed=granted,
            expires=granted + 1,
            limit=granted + 2,
        )


TestJobMachine = JobMachine.TestCase
# Long enough to use up attempts, and to outgrow the history that a job carries.
TestJobMachine.settings = settings(max_examples=4 * settings().max_examples, stateful_step_count=45)
