"""What a job takes in the server's memory: as the documentation says, and not much less."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec, Outcome
from tests.redis.test_keys_page import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.redis.engines import Engine, Server

pytestmark = pytest.mark.anyio

PAGE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "run-on-redis.md"
#: How many jobs are there before bytes are counted, and how many are counted.
BEFORE: Final = 200
COUNTED: Final = 1000
#: The payload of the page.
PAYLOAD: Final = {"text": "x" * 300}


def bytes_by_kind(server: Server) -> Counter[str]:
    """Return what a server has allocated, by the kind of the key, and in all."""
    found: Counter[str] = Counter()
    with server.client() as client:
        keys = list(client.scan_iter(count=1000))
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.memory_usage(key, samples=0)
        for key, size in zip(keys, pipeline.execute(), strict=True):
            found[kind_of(key).partition(":")[0]] += size
    found["all"] = int(server.info("memory")["used_memory"])
    return found


async def finish(plane: ControlPlane) -> None:
    """Let many agents do all that there is."""

    async def work(agent: int) -> None:
        while claims := await plane.queue.claim(agent_id=f"agent-{agent}", start=True):
            await plane.queue.complete(claims[0], Outcome.exited(0))

    async with anyio.create_task_group() as tasks:
        for agent in range(16):
            tasks.start_soon(work, agent)


def promised() -> dict[str, int]:
    """Return the bytes that the page names, by what it calls them."""
    rows = re.findall(r"^\| ([a-z' ]+) \| ([\d,]+) bytes \|", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: int(number.replace(",", "")) for name, number in rows}


async def measured(server: Server) -> dict[str, float]:
    """Return the bytes of a job as it is queued, when it has ended, and of its events."""
    async with ControlPlane.open(
        f"{server.url}?namespace=team-a&durability=none", maintenance=False
    ) as plane:
        specs = [JobSpec(job_type="build", payload=PAYLOAD)] * COUNTED
        await plane.queue.enqueue_many(specs[:BEFORE])
        empty = bytes_by_kind(server)
        await plane.queue.enqueue_many(specs)
        queued = bytes_by_kind(server)
        await finish(plane)
        ended = bytes_by_kind(server)
    one = (without_log(queued) - without_log(empty)) / COUNTED
    others = without_log(empty) - BEFORE * one  # what the server takes for itself
    return {
        "a queued job": one,
        "an ended job": (without_log(ended) - others) / (BEFORE + COUNTED),
        "the events of a job": ended["log"] / (BEFORE + COUNTED),
    }


def without_log(found: Counter[str]) -> int:
    return found["all"] - found["log"]


async def test_a_job_takes_no_more_than_the_documentation_says_and_not_much_less(
    engine: Engine, start: Callable[..., Server]
) -> None:
    limits = promised()
    found = await measured(start(engine))
    assert found.keys() == limits.keys()
    for name, size in found.items():
        assert 0.7 * limits[name] <= size <= limits[name], (name, size)
