"""What one job costs a Redis server, counted: scripts, commands within them, and bytes.

A change that lowers a number writes the new one down here. One that raises a number says why.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import pytest

from cicd_core import ControlPlane, JobSpec, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio

#: About 300 bytes.
SPEC: Final = JobSpec(job_type="build", payload={"text": "x" * 280, "number": 7})
#: The commands within the script of each verb, and those among them that publish. An enqueue asks
#: whether there is an empty string under the key of the new record, which is none of ours.
COMMANDS: Final = {"enqueue": 18, "claim": 29, "complete": 33}
PUBLISHED: Final = {"enqueue": 3, "claim": 4, "complete": 2}
#: How many lifecycles are counted: the least of each verb is what it takes.
LIFECYCLES: Final = 5
#: How many jobs the bytes are a mean of.
JOBS: Final = 200


@pytest.fixture
async def plane(server: Server, namespace: str) -> AsyncGenerator[ControlPlane, None]:
    """A plane whose first job has ended: the server knows the scripts."""
    url = f"{server.url}?durability=none&namespace={namespace}"
    async with ControlPlane.open(url, maintenance=False) as plane:
        async for _ in lifecycle(plane):
            pass
        yield plane


async def lifecycle(plane: ControlPlane) -> AsyncIterator[str]:
    """Enqueue a job, claim it started, and complete it; yield the name of each verb."""
    await plane.queue.enqueue(SPEC)
    yield "enqueue"
    (claimed,) = await plane.queue.claim(agent_id="a-1", start=True)
    yield "claim"
    await plane.queue.complete(claimed, Outcome.success())
    yield "complete"


async def test_a_lifecycle_takes_as_many_scripts_and_commands_as_stated(
    plane: ControlPlane, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 3600.0)
    found: dict[str, list[int]] = defaultdict(list)
    with server.client() as client:
        for _ in range(LIFECYCLES):
            client.config_resetstat()
            async for verb in lifecycle(plane):
                stats = client.info("commandstats").items()
                calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats}
                assert calls.pop("evalsha") == 1
                assert calls["spublish"] == PUBLISHED[verb]
                for asking in ("info", "config|resetstat"):
                    calls.pop(asking, None)
                found[verb].append(sum(calls.values()))
                client.config_resetstat()
    # About once a second a script notes the time as well, which is one command more.
    for verb, seen in found.items():
        assert min(seen) <= COMMANDS[verb]


async def test_a_job_takes_no_more_bytes_of_a_server_than_stated(
    plane: ControlPlane, server: Server, namespace: str
) -> None:
    before = kept(server, namespace)
    await plane.queue.enqueue_many([SPEC] * JOBS)
    queued = kept(server, namespace)
    for claimed in await plane.queue.claim(agent_id="a-1", limit=JOBS, start=True):
        await plane.queue.complete(claimed, Outcome.success())
    finished = kept(server, namespace)
    # 1,230 and 1,960 on Valkey 9.1; allocators round up to different sizes.
    assert (queued - before) / JOBS < 1_300
    assert (finished - before) / JOBS < 2_080


def kept(server: Server, namespace: str) -> int:
    """Return the bytes of all that a namespace keeps, the log included."""
    with server.client() as client:
        keys = list(client.scan_iter(f"cicd:{{{namespace}}}:*", count=1000))
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.memory_usage(key, samples=0)
        return sum(pipeline.execute())
