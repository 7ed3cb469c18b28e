"""The page of events names every event that a decision tells, and what each one says."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from cicd_core.keys import rules
from cicd_core.keys.model import KeySpec
from cicd_core.lifecycle import agents, deployments, jobs, leases, pools, sessions, tracked_runs
from cicd_core.lifecycle.decision import Decision
from cicd_core.model.agent import AgentMetrics, AgentSpec, AgentStatus
from cicd_core.model.deployment import DeploymentMetrics, DeploymentSpec
from cicd_core.model.event_types import EVENT_TYPES
from cicd_core.model.job import (
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
from cicd_core.model.pool import PoolSpec
from cicd_core.model.session import SessionSpec, hash_token
from cicd_core.model.spec import JobSpec
from cicd_core.persistence.event_bodies import NAME_IDS, TYPE_IDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "events.md"
CORE = ROOT / "src" / "cicd_core"
#: Where the decide functions are.
RULES = (*(CORE / "lifecycle").glob("*.py"), *CORE.glob("*/rules.py"))
NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
WHOLE_NAME = re.compile(r"(?:job|agent|deployment|session|pool|key)\.\w+")
PREFIXES = {
    "jobs.py": "job.",
    "leases.py": "job.",
    "endings.py": "job.",
    "job_steps.py": "job.",
    "tracked_runs.py": "job.",
    "agents.py": "agent.",
}
#: | `type` | when | `always`, `keys` (`sometimes`) |
ROW = re.compile(r"^\| `([a-z]+\.[a-z_]+)` \| .+? \| (.*) \|$", re.MULTILINE)

Keys = tuple[frozenset[str], frozenset[str]]


def in_the_page() -> dict[str, Keys]:
    """What each row says: the keys that are always there, and those that may be."""
    rows: dict[str, Keys] = {}
    for name, data in ROW.findall(PAGE.read_text(encoding="utf-8")):
        always, _, sometimes = data.partition("(")
        assert name not in rows, f"{name} has two rows"
        rows[name] = (keys_of(always), keys_of(sometimes))
    return rows


def keys_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"`(\w+)`", text))


def in_the_code() -> set[str]:
    """The names of events that stand in the decide functions."""
    found: set[str] = set()
    for path in RULES:
        prefix = PREFIXES.get(path.name, "")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= {f"{prefix}{text}" for text in short_names(node)}
            found |= {text for text in texts(node) if WHOLE_NAME.fullmatch(text)}
    return found


def short_names(node: ast.AST) -> set[str]:
    """Names without a prefix: `event="claimed"`, `event = "cancelled"`, and the values of a map."""
    if isinstance(node, ast.keyword) and node.arg == "event":
        return texts(node.value)
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id in {"_EVENTS", "_RECORDED"}:
            assert isinstance(node.value, ast.Dict)
            return {text for value in node.value.values for text in texts(value)}
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(target.elts, node.value.elts, strict=True)
            return {
                text
                for name, value in pairs
                if isinstance(name, ast.Name) and name.id == "event"
                for text in texts(value)
            }
    return set()


def texts(node: ast.AST) -> set[str]:
    """The texts that an expression may be: a constant, or the two ends of a choice."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    return set()


def made(spec: JobSpec | None = None) -> Decision[Job]:
    return jobs.create(spec or JobSpec(job_type="build"), job_id="j", now=NOW, actor="ada")


def queued(spec: JobSpec | None = None) -> Decision[Job]:
    return jobs.submit(made(spec).value, now=NOW, actor="ada")


def running(spec: JobSpec | None = None) -> tuple[Job, LeaseToken]:
    job = leases.claim(queued(spec).value, agent_id="a", claim_id="c", now=NOW, start=True).value
    token = job.token
    assert token is not None
    return job, token


def ended(outcome: Outcome, spec: JobSpec | None = None) -> Decision[Job]:
    job, token = running(spec)
    return leases.complete(job, token, outcome, now=LATER)


def job_decisions() -> Iterator[Decision[Job]]:
    once = JobSpec(job_type="deploy", delivery=Delivery.AT_MOST_ONCE)
    single = JobSpec(job_type="build", retry=RetryPolicy(max_attempts=1))
    late = JobSpec(job_type="build", deadline_at=NOW + timedelta(minutes=1), run_at=LATER)
    yield made()
    yield queued()
    yield queued(late)
    yield jobs.promote(queued(late).value, now=LATER)
    yield leases.claim(queued().value, agent_id="a", claim_id="c", now=NOW, start=True)
    job, token = running()
    yield leases.report_progress(job, token, Progress(at=NOW, percent=5), now=NOW)
    yield ended(Outcome.exited(0))
    yield ended(Outcome.exited(1))
    yield ended(Outcome.timeout("too slow"))
    yield ended(Outcome.error("broken"))
    yield (dead := ended(Outcome.error("broken"), single))
    yield ended(Outcome.error("broken"), once)
    yield leases.release(job, token, now=NOW, reason="drain")
    yield leases.expire_lease(job, now=LATER)
    yield leases.expire_lease(job, now=LATER, limit_reached=True)
    yield jobs.replay(dead.value, now=LATER, actor="ada")
    yield jobs.reprioritise(job, Priority.HIGH, now=NOW, actor="ada")
    yield (asked := jobs.cancel(job, now=NOW, actor="ada", reason="no"))
    yield leases.complete(asked.value, token, Outcome.cancelled("stopped"), now=LATER)
    yield leases.release(asked.value, token, now=LATER, reason="drain")
    yield jobs.cancel(made().value, now=NOW, actor="ada", reason="no")
    yield jobs.expire_deadline(made(late).value, now=LATER)
    yield from tracked_decisions()


def tracked_decisions() -> Iterator[Decision[Job]]:
    job = tracked_runs.record_start(made().value, now=NOW, actor="ci", started_at=None)
    yield job
    for verdict in Verdict:
        outcome = Outcome(verdict=verdict)
        yield tracked_runs.record_execution(job.value, outcome, now=LATER, actor="ci")


def deployment_decisions() -> Iterator[Decision[object]]:
    plain = DeploymentSpec(service_name="web", version="1")
    spec = evolve(plain, environment="eu")
    for each, job_id in ((plain, None), (spec, "job-1")):
        one = deployments.create(each, deployment_id="d", now=NOW, actor="ada")
        yield one
        staging = deployments.begin_staging(one.value, now=NOW, actor="ada", staging_job_id=job_id)
        yield staging
        staged = deployments.record_staging(staging.value, succeeded=True, now=NOW, actor="ada")
        yield staged
        production = deployments.begin_production(
            staged.value, now=NOW, actor="ada", production_job_id=job_id
        )
        yield production
        live = deployments.record_production(production.value, succeeded=True, now=NOW, actor="ada")
        yield live
        yield deployments.fail(staged.value, now=NOW, actor="ada", error_message="no")
        target = None if job_id is None else "2"
        yield deployments.roll_back(live.value, now=NOW, actor="ada", reason="bad", target=target)
    yield from metrics_decisions(plain, DeploymentMetrics(latency_ms=1.0))
    figures = DeploymentMetrics(error_rate=0.1, requests_per_second=3.0)
    yield from metrics_decisions(spec, figures)


def metrics_decisions(
    spec: DeploymentSpec, metrics: DeploymentMetrics
) -> Iterator[Decision[object]]:
    new = deployments.create(spec, deployment_id="d", now=NOW, actor="ada").value
    staged = deployments.record_staging(new, succeeded=True, now=NOW, actor="ada").value
    entered = deployments.begin_production(staged, now=NOW, actor="ada").value
    yield deployments.record_metrics(entered, metrics=metrics, now=NOW)


def agent_decisions() -> Iterator[Decision[object]]:
    spec = AgentSpec(agent_id="a")
    new = agents.register(None, spec=spec, incarnation="i", now=NOW)
    yield new
    yield agents.register(new.value, spec=spec, incarnation="other", now=NOW)
    busy = AgentMetrics(cpu_percent=99)
    yield agents.heartbeat(new.value, incarnation="i", now=NOW, metrics=busy)
    yield agents.set_status(
        new.value, status=AgentStatus.OFFLINE, now=NOW, actor="ada", reason="no"
    )
    yield agents.drain(new.value, now=NOW, actor="ada", reason="no")
    yield agents.deregister(new.value, now=NOW, actor="ada")
    yield agents.mark_offline(new.value, now=NOW, actor="maintenance")


def other_decisions() -> Iterator[Decision[object]]:
    pool = pools.put(None, spec=PoolSpec(pool_name="p"), now=NOW, actor="ada")
    yield pool
    wanted = PoolSpec(pool_name="p", target_agents=3)
    yield pools.put(None, spec=wanted, now=NOW, actor="ada")
    yield pools.put(pool.value, spec=wanted, now=NOW, actor="ada")
    yield pools.put(pool.value, spec=PoolSpec(pool_name="p", max_agents=3), now=NOW, actor="ada")
    deleted = pools.delete("p", now=NOW, actor="ada", jobs=0, agents=0, force=False)
    yield Decision(pool.value, (deleted,))
    spec = SessionSpec(user_id="ada")
    session = sessions.create(spec, session_id=hash_token("secret"), now=NOW)
    yield session
    yield sessions.log_out(session.value, now=NOW, actor="ada")
    yield Decision(session.value, (sessions.withdraw("ada", now=NOW, actor="ada"),))
    yield sessions.expire(session.value, now=LATER, idle_expires_at=NOW)


def key_decisions() -> Iterator[Decision[object]]:
    keys = {
        agent_id: rules.create(
            KeySpec(name="ci", scopes=("queue:claim",), agent_id=agent_id),
            key_id="0" * 16,
            digest=hash_token("secret"),
            now=NOW,
            actor="ada",
        )
        for agent_id in (None, "a")
    }
    yield from keys.values()
    key = keys[None].value
    yield rules.shorten(key, now=NOW, overlap_seconds=60, actor="ada")
    yield rules.revoke(key, now=NOW, actor="ada", reason="leaked")


def told() -> dict[str, Keys]:
    """What the decisions of every kind tell: the keys that all have, and those that some have."""
    seen: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
    kinds = (job_decisions, deployment_decisions, agent_decisions, other_decisions, key_decisions)
    for decisions in kinds:
        for decision in decisions():
            for draft in decision.events:
                seen[draft.type].append(frozenset(draft.data))
    return {
        name: (frozenset.intersection(*found), frozenset.union(*found))
        for name, found in seen.items()
    }


TOLD = told()


def test_the_page_names_every_event_in_the_code() -> None:
    assert sorted(in_the_page()) == sorted(in_the_code())


def test_the_list_of_types_names_every_event_in_the_code() -> None:
    assert list(EVENT_TYPES) == sorted(in_the_code())


def test_every_event_in_the_code_is_told_here() -> None:
    assert sorted(TOLD) == sorted(in_the_code())


@pytest.mark.parametrize("name", sorted(TOLD))
def test_the_page_says_what_an_event_carries(name: str) -> None:
    always, union = TOLD[name]
    assert in_the_page()[name] == (always, union - always)


def test_every_event_of_a_job_has_short_ids_in_the_log() -> None:
    of_jobs = {name: keys for name, (_, keys) in TOLD.items() if name.startswith("job.")}
    assert of_jobs.keys() == TYPE_IDS.keys()
    # Two of them tell of clocks that differ.
    assert frozenset.union(*of_jobs.values()) | {"stamp", "ran"} == NAME_IDS.keys()


def test_every_state_of_a_job_is_told_by_an_event() -> None:
    reached = {decision.value.state for decision in job_decisions()}
    assert reached | {JobState.CLAIMED} == set(JobState)
