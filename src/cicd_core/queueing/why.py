"""Why no agent picks a job up: all possible reasons, and what to do about each."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import field

from cicd_core.model.agent import AgentStatus
from cicd_core.model.amounts import amount
from cicd_core.model.job import FINAL_STATES, JobState
from cicd_core.queueing.lanes import lane_of
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cicd_core.model.agent import Agent
    from cicd_core.model.job import Job


class ReasonCode(StrEnum):
    """The kinds of reasons; an answer lists its reasons in this order."""

    CANCEL_REQUESTED = "cancel_requested"
    NOT_ENQUEUED = "not_enqueued"
    HELD = "held"
    DEAD_LETTERED = "dead_lettered"
    ENDED = "ended"
    DEADLINE_PASSED = "deadline_passed"
    DELAYED = "delayed"
    #: Its delay is over, but maintenance has not made it ready yet.
    DUE = "due"
    LANE_NOT_LISTED = "lane_not_listed"
    NO_POOL = "no_pool"
    NO_AGENTS = "no_agents"
    NO_AGENT_WITH_LABELS = "no_agent_with_labels"
    NO_AGENT_FOR_TYPE = "no_agent_for_type"
    NO_AGENT_TAKES_WORK = "no_agent_takes_work"
    ALL_BUSY = "all_busy"
    #: Handlers that were stopped still run, and occupy slots of agents that could run it.
    SLOTS_STUCK = "slots_stuck"
    JOBS_AHEAD = "jobs_ahead"
    ABOUT_TO_BE_CLAIMED = "about_to_be_claimed"


@frozen
class Reason:
    """One reason, for programs (``code``) and for people (the rest)."""

    code: ReasonCode
    #: The reason itself.
    message: str
    #: The advice.
    what_to_do: str


@frozen(kw_only=True)
class JobContext:
    """The facts that decide whether a job is picked up, besides the job itself."""

    #: The store's clock.
    now: datetime
    #: Whether the job's pool has a record.
    pool_exists: bool
    #: Whether the pool's directory names the job's lane.
    lane_listed: bool
    #: The agents of the job's pool, with their present status.
    agents: Sequence[Agent]
    #: How many more of its agents are offline.
    more_offline: int = 0
    #: How many of its agents do not decode: nothing is known about them.
    unreadable: int = 0
    #: How many jobs each agent holds, by its id. For a missing one, the agent's own report counts
    #: (:attr:`cicd_core.model.agent.Agent.running`).
    held: Mapping[str, int] = field(factory=dict[str, int])
    #: The jobs of its own lane with a better rank.
    ahead_in_lane: int = 0
    #: The jobs with a better rank in the other lanes that the same agents serve.
    ahead_elsewhere: int = 0
    #: Whether the counting of both stopped before the end.
    more_ahead: bool = False


def explain(job: Job, around: JobContext) -> tuple[Reason, ...]:
    """Return why no agent picks the job up, the most important reason first; at least one."""
    reasons: tuple[Reason | None, ...]
    if job.state is not JobState.QUEUED:
        reasons = (_cancel(job), _state(job))
    else:
        reasons = (
            _cancel(job),
            _deadline(job, around),
            _delay(job, around),
            _lane(job, around),
            *_fleet_and_stuck(job, around),
            _ahead(around),
        )
    return tuple(reason for reason in reasons if reason) or (_SOON,)


_SOON = Reason(
    ReasonCode.ABOUT_TO_BE_CLAIMED,
    "nothing blocks it: an agent that can run it has a free slot",
    "nothing: the agent claims it at its next request",
)


def _cancel(job: Job) -> Reason | None:
    if job.cancel_requested_at is None or job.state in FINAL_STATES:
        return None
    return Reason(
        ReasonCode.CANCEL_REQUESTED,
        f"its cancel was requested at {_moment(job.cancel_requested_at)}: {job.cancel_reason}",
        "nothing: it ends as cancelled and is not claimed again",
    )


def _state(job: Job) -> Reason:
    """Return the reason of a job that is not queued."""
    if job.state is JobState.DEAD_LETTERED:
        return Reason(
            ReasonCode.DEAD_LETTERED,
            f"it is a dead letter: {job.attempts_used} of {job.max_attempts} attempts were used; "
            f"the last error: {job.error_message or 'none'}",
            "fix the cause, then replay it",
        )
    if job.state in FINAL_STATES:
        message = f"it has ended: {job.state}"
        return Reason(ReasonCode.ENDED, message, "create another job to run the work again")
    if job.state is JobState.PENDING:
        return Reason(ReasonCode.NOT_ENQUEUED, *_PENDING[job.tracked])
    holder = "an external system runs it" if job.agent_id is None else f"agent {job.agent_id!r}"
    return Reason(
        ReasonCode.HELD,
        f"it is already {job.state}: {holder}",
        "nothing: it ends, or returns to the queue when its lease expires",
    )


#: Message and advice by whether an external system executes the job.
_PENDING: Mapping[bool, tuple[str, str]] = {
    False: ("it was never enqueued", "enqueue it"),
    True: ("an external system runs it; cicd_core only records it", "record its progress"),
}


def _deadline(job: Job, around: JobContext) -> Reason | None:
    if job.start_deadline is None or job.start_deadline > around.now:
        return None
    return Reason(
        ReasonCode.DEADLINE_PASSED,
        f"its deadline, {_moment(job.start_deadline)}, has passed: maintenance ends it as timeout",
        "enqueue another job, with a later deadline or none",
    )


def _delay(job: Job, around: JobContext) -> Reason | None:
    if job.ready_at is not None:
        return None
    if job.run_at is None or job.run_at <= around.now:
        return Reason(
            ReasonCode.DUE,
            "its delay is over, but maintenance has not made it ready yet",
            "run maintenance on this store: a ControlPlane, `cicd-core agent` or `cicd-core serve` "
            "does, unless maintenance is turned off",
        )
    last = job.attempts[-1].reason if job.attempts else None
    why = f"attempt {job.attempt} ended: {last}" if job.attempts else "its run_at says so"
    seconds = (job.run_at - around.now).total_seconds()
    return Reason(
        ReasonCode.DELAYED,
        f"it is delayed until {_moment(job.run_at)}, in {seconds:.0f} s: {why}",
        "wait",
    )


def _lane(job: Job, around: JobContext) -> Reason | None:
    if around.lane_listed:
        return None
    return Reason(
        ReasonCode.LANE_NOT_LISTED,
        f"the lanes of pool {job.pool_name!r} do not include {lane_of(job).key!r}, so no agent "
        f"looks for it",
        "nothing: maintenance checks the queued jobs and lists their lanes again; another job "
        "with the same pool, job type and labels also does so, after at most a minute",
    )


def _fleet_and_stuck(job: Job, around: JobContext) -> tuple[Reason | None, ...]:
    """Return why no agent can take the job now; if all slots are stuck, only that."""
    fleet = _fleet(job, around)
    if fleet is None or fleet.code not in {ReasonCode.NO_AGENT_TAKES_WORK, ReasonCode.ALL_BUSY}:
        return (fleet,)
    able = _able(job, around.agents)
    if all(item.stuck_slots >= item.slots for item in able):
        return (_stuck(able),)
    return fleet, _stuck(able)


def _fleet(job: Job, around: JobContext) -> Reason | None:
    """Return why no agent of the pool can take the job now; None if one can."""
    agents = [agent for agent in around.agents if agent.status is not AgentStatus.TERMINATED]
    if not agents:
        return _unread_agents(job, around) if around.unreadable else _no_agents(job, around)
    reason = _of_agents(job, agents, around)
    if reason is None or not around.unreadable:
        return reason
    unread = f"; {amount(around.unreadable, 'agent')} of the pool cannot be read here"
    return evolve(reason, message=reason.message + unread)


def _of_agents(job: Job, agents: Sequence[Agent], around: JobContext) -> Reason | None:
    labelled = [agent for agent in agents if not _missing(job, agent)]
    if not labelled:
        return _no_labels(job, agents)
    able = _able(job, agents)
    if not able:
        return _no_type(job, labelled)
    serving = [item for item in able if item.takes_work]
    if not serving:
        return _none_serving(able, around)
    return _busy(serving, around)


def _able(job: Job, agents: Sequence[Agent]) -> list[Agent]:
    """Return the agents that are not TERMINATED and have the labels and the handler it needs."""
    return [
        agent
        for agent in agents
        if agent.status is not AgentStatus.TERMINATED
        and not _missing(job, agent)
        and (agent.job_types is None or job.job_type in agent.job_types)
    ]


def _no_agents(job: Job, around: JobContext) -> Reason:
    pool = repr(job.pool_name)
    if around.pool_exists:
        message = f"pool {pool} has no agents"
        return Reason(ReasonCode.NO_AGENTS, message, f"start an agent in pool {pool}")
    return Reason(
        ReasonCode.NO_POOL,
        f"pool {pool} does not exist and has no agents",
        f"start an agent in pool {pool}, or enqueue the job in an existing pool",
    )


def _unread_agents(job: Job, around: JobContext) -> Reason:
    return Reason(
        ReasonCode.NO_AGENTS,
        f"no readable agent of pool {job.pool_name!r} can run it: "
        f"{amount(around.unreadable, 'agent')} cannot be read here",
        "upgrade cicd_core here, or restart these agents so that they register again",
    )


def _no_labels(job: Job, agents: Sequence[Agent]) -> Reason:
    nearest = min(
        agents, key=lambda item: (len(_missing(job, item)), not item.takes_work, item.agent_id)
    )
    missing = ", ".join(_missing(job, nearest))
    return Reason(
        ReasonCode.NO_AGENT_WITH_LABELS,
        f"no agent in pool {job.pool_name!r} has all its labels ({', '.join(job.labels)}): the "
        f"closest of {len(agents)}, {nearest.agent_id!r}, lacks {missing}",
        f"start an agent with those labels, or restart {nearest.agent_id!r} with {missing} added",
    )


def _no_type(job: Job, labelled: Sequence[Agent]) -> Reason:
    example = min(labelled, key=lambda item: (not item.takes_work, item.agent_id))
    handled = ", ".join(example.job_types or ())
    which, those = (" with its labels", " with those labels") if job.labels else ("", "")
    return Reason(
        ReasonCode.NO_AGENT_FOR_TYPE,
        f"no agent{which} handles the job type {job.job_type!r}: of {len(labelled)}, "
        f"{example.agent_id!r} handles {handled}",
        f"start an agent{those} that has a handler for {job.job_type!r}",
    )


def _none_serving(able: Sequence[Agent], around: JobContext) -> Reason:
    statuses = Counter(item.status for item in able)
    described = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    if around.more_offline:
        described += f" ({around.more_offline} more of the pool are offline)"
    return Reason(
        ReasonCode.NO_AGENT_TAKES_WORK,
        f"no agent that can run it takes work: {described}",
        "restore one of them (see the reason for its status), or start another agent",
    )


def _busy(serving: Sequence[Agent], around: JobContext) -> Reason | None:
    used = {item.agent_id: _used(item, around) for item in serving}
    if any(used[item.agent_id] < item.slots for item in serving):
        return None
    slots = sum(item.slots for item in serving)
    return Reason(
        ReasonCode.ALL_BUSY,
        f"all agents for it are busy: {amount(len(serving), 'agent')}, {sum(used.values())} of "
        f"{amount(slots, 'slot')} used",
        "wait for a free slot, or add agents or slots",
    )


def _used(agent: Agent, around: JobContext) -> int:
    """Return how many slots are in use: by jobs that it holds, or lost but still runs."""
    if agent.agent_id not in around.held:
        return agent.running or 0
    lost = sum(job.reason == "lease_lost" for job in agent.stuck)
    return min(agent.slots, around.held[agent.agent_id] + lost)


def _stuck(able: Sequence[Agent]) -> Reason | None:
    """Return the reason that names the stuck slots of agents that could run the job."""
    stuck = [item for item in able if item.stuck]
    if not stuck:
        return None
    first = min(stuck, key=lambda agent: (agent.stuck[0].since, agent.agent_id))
    held = first.stuck[0]
    slots = sum(item.stuck_slots for item in stuck)
    return Reason(
        ReasonCode.SLOTS_STUCK,
        f"{amount(slots, 'slot')} of {amount(len(stuck), 'agent')} stuck: on {first.agent_id!r} "
        f"job {held.job_id!r} was stopped ({held.reason}) at {_moment(held.since)}, but its "
        f"handler still runs",
        f"restart agent {first.agent_id!r}, or let it exit by itself in that case (option "
        f"exit_when_stuck); a handler in a thread must check run.cancelled",
    )


def _ahead(around: JobContext) -> Reason | None:
    total = around.ahead_in_lane + around.ahead_elsewhere
    if not total:
        return None
    least = "at least " if around.more_ahead else ""
    return Reason(
        ReasonCode.JOBS_AHEAD,
        f"{least}{amount(total, 'job')} ahead of it, with a higher priority or enqueued earlier: "
        f"{around.ahead_in_lane} in its own lane, {around.ahead_elsewhere} in others that the same "
        f"agents serve",
        "wait, add agents, or raise its priority",
    )


def _missing(job: Job, agent: Agent) -> list[str]:
    return [label for label in job.labels if label not in agent.labels]


def _moment(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"
