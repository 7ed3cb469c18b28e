"""Several ends and a claim in one request: with this server, an older one, and a lost answer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    AgentDeregistered,
    AgentSpec,
    ClaimRequest,
    ControlPlane,
    InvalidInput,
    JobSpec,
    JobState,
    LeaseLost,
    Outcome,
    TooLarge,
    UnsupportedCapability,
)
from cicd_core.agent import Agent, JobRun
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.client.connection import Connection
from cicd_core.http.server.app import ROUTES
from cicd_core.model.claim import MAX_ENDS
from tests.http.serving import serving
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

SUCCESS = Outcome.success()
EXCHANGE = "/api/queue/exchange"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each path is asked for by any client, the ids of jobs left out."""
    counts: Counter[str] = Counter()
    call = Connection.call

    async def counted(self: Connection, method: str, path: str, *given: Any, **named: Any) -> Any:
        counts[path.rpartition("/")[2]] += 1
        return await call(self, method, path, *given, **named)

    monkeypatch.setattr(Connection, "call", counted)
    return counts


@pytest.fixture
async def older(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RemoteControlPlane]:
    """A client of a server that lacks the route."""
    known = [route for route in ROUTES if route.path != EXCHANGE]
    assert len(known) == len(ROUTES) - 1
    monkeypatch.setattr("cicd_core.http.server.app.ROUTES", known)
    async with serving(plane) as url, RemoteControlPlane(url) as remote:
        yield remote


async def work_off(plane: ControlPlane, source: RemoteControlPlane, jobs: int, slots: int) -> None:
    """Let an agent do so many jobs, as many at a time as it has slots."""
    begun: set[str] = set()
    wave = anyio.Event()

    async def work(run: JobRun) -> None:
        nonlocal wave
        begun.add(run.job.job_id)
        if len(begun) % slots == 0:
            wave.set()
            wave = anyio.Event()
        else:
            await wave.wait()

    await plane.queue.enqueue_many([JobSpec(job_type="work")] * jobs)
    agent = Agent(source, slots=slots, agent_id="far")
    agent.add_handler("work", work)
    with anyio.fail_after(PATIENCE):
        await agent.run(until_idle=True, handle_signals=False)
    async for job in plane.jobs.iterate():
        assert (job.state, job.attempt) == (JobState.SUCCESS, 1)


@pytest.mark.asyncio_only  # trio's order of tasks is random, and so is what is ready together
async def test_jobs_that_end_together_take_one_request(
    plane: ControlPlane, remote: RemoteControlPlane, requests: Counter[str]
) -> None:
    await work_off(plane, remote, 16, 8)
    assert requests["exchange"] == 2
    assert requests["complete"] == 0
    assert requests["claim"] == 2  # the first, and the one after the last report


async def test_a_job_of_a_single_slot_takes_one_request(
    plane: ControlPlane, remote: RemoteControlPlane, requests: Counter[str]
) -> None:
    await work_off(plane, remote, 6, 1)
    assert (requests["exchange"], requests["complete"]) == (6, 0)
    assert requests["claim"] == 2


async def test_an_older_server_gets_one_request_for_each_report(
    plane: ControlPlane, older: RemoteControlPlane, requests: Counter[str]
) -> None:
    await work_off(plane, older, 16, 8)
    assert (requests["exchange"], requests["complete"]) == (1, 16)


async def test_an_older_server_is_named_as_the_cause(older: RemoteControlPlane) -> None:
    with pytest.raises(UnsupportedCapability, match="as new as this client"):
        await older.queue.exchange([])


async def test_each_end_and_the_claim_have_their_own_answers(
    plane: ControlPlane, remote: RemoteControlPlane
) -> None:
    await remote.queue.enqueue_many([JobSpec(job_type="build")] * 4)
    lost, good = await remote.queue.claim(agent_id="a-1", limit=2, start=True)
    await remote.queue.release(lost)
    request = ClaimRequest(agent_id="a-1", start=True)
    done = await remote.queue.exchange([(lost, SUCCESS), (good, SUCCESS)], request)
    assert isinstance(done.errors[0], LeaseLost)
    assert done.errors[0].job_id == lost.job.job_id
    assert (done.errors[1], done.claim_error) == (None, None)
    (claimed,) = done.claims
    await remote.queue.complete(claimed, SUCCESS)
    await plane.agents.register(AgentSpec(agent_id="a-2"))
    await plane.agents.deregister("a-2", reason="gone", actor="ada")
    done = await remote.queue.exchange([], ClaimRequest(agent_id="a-2"))
    assert isinstance(done.claim_error, AgentDeregistered)


async def test_a_wrong_exchange_is_refused_by_the_client_and_by_the_server(
    remote: RemoteControlPlane,
) -> None:
    await remote.queue.enqueue(JobSpec(job_type="build"))
    (held,) = await remote.queue.claim(agent_id="a-1", start=True)
    wrong: Any = (("ends", 7), ("ends", "ab"), (r"ends\[0\]", [held]))
    for field, ends in wrong:
        with pytest.raises(InvalidInput, match=field):
            await remote.queue.exchange(ends)
    with pytest.raises(TooLarge, match="ends"):
        await remote.queue.exchange([(held, SUCCESS)] * (MAX_ENDS + 1))
    done = await remote.queue.exchange([], ClaimRequest(agent_id="a-1", lease_seconds=0.0))
    assert isinstance(done.claim_error, InvalidInput)
    assert done.claim_error.field == "lease_seconds"
