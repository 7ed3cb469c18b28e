"""Maintenance as a function: what Lambda calls, on each engine."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec, JobState
from cicd_core.errors import InvalidInput, StoreError
from cicd_core.ids import IdSource
from cicd_core.model.instants import from_micros
from cicd_core.persistence.collections import JOBS
from cicd_core.store.registry import StoreURL
from cicd_core_dynamodb.lambda_handlers import maintain
from tests.dynamodb.engines import running
from tests.services.broken_stores import damage

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def url(engine: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store that the function's variable names."""
    namespace = IdSource().commit_id()
    endpoint = running(engine).endpoint
    url = (
        f"dynamodb://?prefix=lambda-&region=us-east-1&endpoint={endpoint}&namespace={namespace}"
        "&create_tables=true&timeout=30&connect_timeout=30"
    )
    monkeypatch.setenv("CICD_STORE", url)
    monkeypatch.delenv("CICD_SWEEP_SECONDS", raising=False)
    return url


def enqueued(url: str, *, delay: int) -> str:
    """Enqueue a job that becomes ready so many µs after the store's time."""

    async def do() -> str:
        async with ControlPlane.open(url, maintenance=False) as plane:
            now = (await plane.store.now()).micros
            spec = JobSpec(job_type="build", run_at=from_micros(now + delay))
            return (await plane.queue.enqueue(spec)).job_id

    return anyio.run(do)


def state_of(url: str, job_id: str) -> tuple[JobState, bool]:
    async def do() -> tuple[JobState, bool]:
        async with ControlPlane.open(url, maintenance=False) as plane:
            job = await plane.jobs.get(job_id)
            return job.state, job.ready_at is not None

    return anyio.run(do)


def test_a_run_without_a_time_is_one_sweep(url: str) -> None:
    assert maintain({}, None)["sweeps"] == 1


def test_a_run_makes_ready_what_waited(url: str) -> None:
    job_id = enqueued(url, delay=1_500_000)
    assert state_of(url, job_id) == (JobState.QUEUED, False)
    done = maintain({"seconds": 4}, None)
    assert done["promoted"] == 1
    assert done["sweeps"] > 1
    assert state_of(url, job_id) == (JobState.QUEUED, True)


def test_a_record_that_no_sweep_of_a_run_can_read_counts_once(url: str) -> None:
    job_id = enqueued(url, delay=1_500_000)

    async def do() -> None:
        async with ControlPlane.open(url, maintenance=False) as plane:
            await damage(plane.store, JOBS.name, job_id)

    anyio.run(do)
    done = maintain({"seconds": 4}, None)
    assert done["sweeps"] > 1
    assert (done["promoted"], done["unreadable"]) == (0, 1)
    assert json.loads(json.dumps(done)) == done


def logged(url: str) -> int:
    """How many items the log has, as they stand in the table."""

    async def do() -> int:
        options = StoreURL.parse(url).options
        session = import_module("aioboto3").Session()
        async with session.client(
            "dynamodb", region_name=options["region"], endpoint_url=options["endpoint"]
        ) as client:
            found = await client.scan(
                TableName="lambda-journal",
                FilterExpression="begins_with(P, :log) AND Q <> :base",
                ExpressionAttributeValues={
                    ":log": {"S": f"{options['namespace']}|d|"},
                    ":base": {"S": "-"},
                },
            )
            return int(found["Count"])

    return anyio.run(do)


def test_a_run_writes_the_log_on_though_nobody_reads_it(url: str) -> None:
    enqueued(url, delay=3_600_000_000)
    assert logged(url) == 0
    maintain({}, None)
    assert logged(url) == 1


def test_a_run_over_a_store_without_a_log_is_none_the_worse(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CICD_STORE", f"{url}&log=off")
    assert maintain({}, None)["sweeps"] == 1


@pytest.mark.parametrize("event", [{"seconds": "soon"}, {"seconds": -1}, {"seconds": 1e9}])
def test_a_time_that_cannot_be_is_refused(url: str, event: Mapping[str, object]) -> None:
    with pytest.raises(InvalidInput, match="CICD_SWEEP_SECONDS"):
        maintain(event, None)


def test_a_function_without_a_store_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CICD_STORE", raising=False)
    with pytest.raises(InvalidInput, match="CICD_STORE"):
        maintain({}, None)


def test_a_store_that_cannot_be_reached_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "dynamodb://?region=us-east-1&endpoint=http://127.0.0.1:9"
    monkeypatch.setenv("CICD_STORE", url)
    with pytest.raises(StoreError):
        maintain({}, None)
