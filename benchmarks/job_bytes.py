"""How many bytes a queued and a finished job take, by what keeps them.

python -m benchmarks.job_bytes [--jobs 500]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, cast

import anyio

from cicd_core import ControlPlane, JobSpec, Outcome
from cicd_core_redis.durability import KeepsNothing
from tests.redis.engines import Server, open_server

if TYPE_CHECKING:
    import sqlite3

    from cicd_core.store.sqlite import SQLiteBackend

#: About 300 bytes.
SPEC: Final = JobSpec(job_type="build", payload={"text": "x" * 280, "number": 7})
#: What the first letters of a name in the SQLite file stand for.
PARTS: Final = {"c_": "records", "lo": "log", "i_": "indexes", "k_": "indexes", "l_": "indexes"}
#: The types of a Redis server's values.
TYPES: Final = {
    "string": "records",
    "zset": "indexes",
    "stream": "log",
    "hash": "counters",
    "set": "claims",
}

Weigh = Callable[[], Awaitable[Counter[str]]]


async def compare(store: str, plane: ControlPlane, weigh: Weigh, jobs: int) -> None:
    """Print the bytes a job, queued and finished."""
    await end(plane, 1)  # what is there once
    before = await weigh()
    await plane.queue.enqueue_many([SPEC] * jobs)
    queued = await weigh()
    await end(plane, jobs, enqueue=False)
    finished = await weigh()
    for name, now in (("queued", queued), ("finished", finished)):
        parts = {part: round((now[part] - before[part]) / jobs) for part in sorted(now)}
        print(f"{store} {name}: {round((now.total() - before.total()) / jobs)} bytes, {parts}")


async def end(plane: ControlPlane, jobs: int, *, enqueue: bool = True) -> None:
    """Claim and complete so many jobs."""
    if enqueue:
        await plane.queue.enqueue_many([SPEC] * jobs)
    while jobs > 0:
        claims = await plane.queue.claim(agent_id="a", start=True, limit=min(jobs, 250))
        for claimed in claims:
            await plane.queue.complete(claimed, Outcome.success())
        jobs -= len(claims)


def pages(connection: sqlite3.Connection) -> Counter[str]:
    """Return the bytes of the pages of a SQLite file that are in use."""
    found: Counter[str] = Counter()
    for name, size in connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"):
        found[PARTS.get(name[:2], "rest")] += size
    return found


def values(server: Server) -> Counter[str]:
    """Return the bytes of a Redis server's values."""
    found: Counter[str] = Counter()
    with server.client() as client:
        for kind, part in TYPES.items():
            for key in client.scan_iter(count=1000, _type=kind):
                found[part] += client.memory_usage(key, samples=0) or 0
    return found


async def sqlite(jobs: int) -> None:
    """Weigh jobs in a file."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ci.db?synchronous=normal"
        async with ControlPlane.open(url, maintenance=False) as plane:
            backend = cast("SQLiteBackend", plane.store.backend)
            await compare("sqlite", plane, lambda: backend.writes.call(pages), jobs)


async def redis(jobs: int) -> None:
    """Weigh jobs in a server's memory."""
    with open_server() as server:
        async with ControlPlane.open(server.url, maintenance=False) as plane:

            async def weigh() -> Counter[str]:
                return values(server)

            await compare("redis", plane, weigh, jobs)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=500)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", KeepsNothing)
    anyio.run(sqlite, asked.jobs)
    anyio.run(redis, asked.jobs)


if __name__ == "__main__":
    main()
