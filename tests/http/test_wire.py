"""Requests have the fields of the values that they become; answers show no token."""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec
import pytest

from cicd_core import (
    AgentMetrics,
    AgentSpec,
    ControlPlane,
    GitContext,
    JobSpec,
    Outcome,
    PoolSpec,
    Priority,
    QueueStats,
    RetryPolicy,
    UnsupportedCapability,
    Verdict,
    to_json,
)
from cicd_core.http.wire import requests as asked
from cicd_core.http.wire.values import asked_to_wire, from_wire
from cicd_core.model.job import Job

PAIRS: list[tuple[type[asked.Asked], type[Any], set[str]]] = [
    (asked.JobBody, JobSpec, set()),
    (asked.GitBody, GitContext, set()),
    (asked.RetryBody, RetryPolicy, set()),
    (asked.OutcomeBody, Outcome, set()),
    (asked.AgentBody, AgentSpec, set()),
    (asked.MetricsBody, AgentMetrics, set()),
    (asked.PoolBody, PoolSpec, {"pool_name"}),
]


@pytest.mark.parametrize(("body", "value", "elsewhere"), PAIRS)
def test_a_body_has_the_fields_of_what_it_becomes(
    body: type[asked.Asked], value: type[Any], elsewhere: set[str]
) -> None:
    names = {each.name for each in attrs.fields(value)}
    assert set(body.__struct_fields__) == names - elsewhere


def test_a_body_has_the_defaults_of_what_it_becomes() -> None:
    assert asked.JobBody(job_type="build").value() == JobSpec(job_type="build")
    assert asked.AgentBody(agent_id="a-1").value() == AgentSpec(agent_id="a-1")
    assert asked.PoolBody().value("linux") == PoolSpec(pool_name="linux")
    assert asked.GitBody(repo="r").value() == GitContext(repo="r")
    assert asked.OutcomeBody(verdict=Verdict.ERROR).value() == Outcome(verdict=Verdict.ERROR)


def test_what_is_asked_for_arrives_as_it_was_sent() -> None:
    spec = JobSpec(
        job_type="build",
        payload={"deep": [1, {"x": None}]},
        priority=Priority.CRITICAL,
        labels=("linux",),
        git=GitContext(repo="https://example.org/a.git", depth=1, sparse_paths=("src",)),
        retry=RetryPolicy(max_attempts=5, retry_on=(Verdict.TIMEOUT,)),
        delay_seconds=2.5,
        idempotency_key="k",
    )
    body = msgspec.json.decode(msgspec.json.encode(asked_to_wire(spec)), type=asked.JobBody)
    assert body.value() == spec


@pytest.mark.anyio
async def test_a_value_comes_back_without_what_gives_power() -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        made = await plane.queue.enqueue(JobSpec(job_type="build", priority=Priority.LOW))
        (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
        job = await plane.jobs.get(made.job_id)
        text = json.dumps(to_json(job))
        back = from_wire(Job, json.loads(text))
        stats = await plane.queue.stats()
    assert claimed.token.claim_id not in text
    blank = attrs.evolve(job.attempts[0], claim_id="")
    assert back == attrs.evolve(job, claim_id=None, request_hash=None, attempts=(blank,))
    assert from_wire(QueueStats, json.loads(json.dumps(to_json(stats)))) == stats


def test_an_answer_of_another_form_says_that_the_server_is_another_one() -> None:
    with pytest.raises(UnsupportedCapability, match="the server's answer has another form"):
        from_wire(Job, {"hello": "world"})
