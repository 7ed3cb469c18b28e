"""What the status page costs the server.

    python -m benchmarks.status_page pages --jobs 1000000
    python -m benchmarks.status_page live --pages 50 --agents 200 --seconds 60

``pages`` fills a SQLite store and asks for each page, five times: CPU of the process, rows that the
store gave (records, counters and counts), bytes that were sent. ``live`` serves a store by
``cicd-core serve`` in a process of its own, and opens live pages as the script of the page does (a
stream of events, a fetch 0.6 s after an event and at most every 2.5 s) beside agents that register,
send heartbeats, and claim and end jobs: CPU and memory of the server.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
import httpx2

from cicd_core import AgentSpec, ControlPlane, JobSpec, Outcome, PoolSpec
from cicd_core.errors import CicdError
from cicd_core.http.client import RemoteControlPlane
from cicd_core.http.server import create_app
from tests.services.metering import Meter

if TYPE_CHECKING:
    from cicd_core import Job

PAGES: Final = (
    ("overview", "/ui/"),
    ("jobs", "/ui/jobs"),
    ("failed jobs of a pool", "/ui/jobs?status=failed&pool_name=pool-1"),
    ("jobs by id", "/ui/jobs?id_prefix={prefix}"),
    ("one job", "/ui/jobs/{job_id}"),
    ("queue", "/ui/queue?pool_name=pool-1"),
    ("dead letters", "/ui/dead-letters"),
    ("deployments", "/ui/deployments"),
    ("agents", "/ui/agents"),
    ("events", "/ui/events?cursor=oldest"),
    ("keys", "/ui/keys"),
)
_BATCH: Final = 500
_POOLS: Final = 3
#: What the script of the page waits, in seconds.
_CALM: Final = 0.6
_LEAST: Final = 2.5
_TICKS: Final = os.sysconf("SC_CLK_TCK")


async def fill(plane: ControlPlane, number: int) -> Job:
    """Enqueue jobs, and end some of them; return one that waits."""
    for at in range(_POOLS):
        await plane.pools.put(PoolSpec(pool_name=f"pool-{at}"))
        await plane.agents.register(AgentSpec(agent_id=f"agent-{at}", pool_name=f"pool-{at}"))
    began = time.monotonic()
    jobs: list[Job] = []
    for at in range(0, number, _BATCH):
        pool_name = f"pool-{at // _BATCH % _POOLS}"
        jobs = await plane.queue.enqueue_many(
            [JobSpec(job_type="build", pool_name=pool_name, metadata={"service": "shop"})] * _BATCH
        )
        if at % 100_000 == 0:
            print(f"{at} jobs, {time.monotonic() - began:.0f} s", file=sys.stderr)
    for at in range(300):
        name = f"{at % _POOLS}"
        for claim in await plane.queue.claim(
            agent_id=f"agent-{name}", pool_name=f"pool-{name}", start=True
        ):
            outcome = Outcome.exited(0) if at % 5 else Outcome.exited(1)
            await plane.queue.complete(claim, outcome)
    return jobs[-1]


async def measure_pages(number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ci.db"
        async with ControlPlane.open(url, maintenance=False) as plane:
            job = await fill(plane, number)
            meter = Meter(plane.store)
            app = create_app(ControlPlane(meter), status_page=True)
            transport = httpx2.ASGITransport(app=app)
            base = "http://127.0.0.1"
            async with httpx2.AsyncClient(transport=transport, base_url=base) as client:
                for name, address in PAGES:
                    where = address.format(job_id=job.job_id, prefix=job.job_id[:12])
                    await measure_page(client, meter, name, where)
            print(f"load {os.getloadavg()[0]:.1f}, {number} jobs")


async def measure_page(client: httpx2.AsyncClient, meter: Meter, name: str, where: str) -> None:
    spent: list[float] = []
    rows = size = 0
    for _ in range(5):
        meter.rows, begin = 0, time.process_time()
        answer = await client.get(where)
        spent.append(time.process_time() - begin)
        answer.raise_for_status()
        rows, size = meter.rows, int(answer.headers.get("content-length", 0))
    shown = answer.text.count("<tr>") - answer.text.count("<thead><tr>")
    print(
        f"{name:24} {1000 * sorted(spent)[2]:7.1f} ms of CPU  {rows:5} rows read  {shown:4} shown  "
        f"{size:6} bytes sent, {len(answer.text):6} before compression"
    )


async def look(client: httpx2.AsyncClient, base: str, fetched: list[float]) -> None:
    """Do as the script of a page does."""
    stream = f"{base}/api/events/stream?from_now=true&types=job.*,deployment.*,agent.*"
    last = 0.0
    await client.get(f"{base}/ui/")
    async with client.stream("GET", stream) as answer:
        async for line in answer.aiter_lines():
            now = time.monotonic()
            if not line.startswith("data:") or now - last < _LEAST:
                continue
            last = now
            await anyio.sleep(_CALM)
            page = await client.get(f"{base}/ui/", headers={"x-page-fragment": "1"})
            fetched.append(time.monotonic() - now - _CALM)
            page.raise_for_status()


async def work(base: str, number: int, done: list[str]) -> None:
    """Do as an agent does."""
    async with RemoteControlPlane(base) as plane:
        name = f"agent-{number:03d}"
        agent = await plane.agents.register(AgentSpec(agent_id=name))
        await anyio.sleep(number / 20)
        while True:
            await plane.agents.heartbeat(name, agent.incarnation, running=0)
            for claim in await plane.queue.claim(agent_id=name, start=True, wait=20.0):
                await anyio.sleep(1.0)
                await plane.queue.complete(claim, Outcome.exited(0))
                done.append(claim.job.job_id)


async def enqueue(base: str) -> None:
    async with RemoteControlPlane(base) as plane:
        while True:
            await plane.queue.enqueue_many([JobSpec(job_type="build")] * 5)
            await anyio.sleep(1.0)


async def tried(task: partial[object]) -> None:
    try:
        await task()  # type: ignore[misc] # each of them is a coroutine function
    except (CicdError, httpx2.HTTPError) as failed:
        print(f"{type(failed).__name__}: {failed}", file=sys.stderr)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident(pid: int) -> float:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure_live(pages: int, agents: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        program = (sys.executable, "-m", "cicd_core")
        command = (*program, "serve", "--port", "0", "--store", f"sqlite:///{folder}/ci.db")
        with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
            command, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            base = server.stdout.readline().strip()
            begin_memory = resident(server.pid)
            fetched: list[float] = []
            done: list[str] = []
            limits = httpx2.Limits(max_connections=None)
            async with (
                httpx2.AsyncClient(timeout=120.0, trust_env=False, limits=limits) as client,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(tried, partial(enqueue, base))
                for number in range(agents):
                    tasks.start_soon(tried, partial(work, base, number, done))
                for _ in range(pages):
                    tasks.start_soon(tried, partial(look, client, base, fetched))
                await anyio.sleep(20.0)
                fetched.clear()
                ended, begin = len(done), cpu_seconds(server.pid)
                await anyio.sleep(seconds)
                spent = cpu_seconds(server.pid) - begin
                ordered = sorted(fetched) or [0.0]
                print(
                    f"{pages} live pages, {agents} agents, {seconds:g} s: server CPU "
                    f"{100 * spent / seconds:.0f} % of a core, memory {begin_memory:.0f} -> "
                    f"{resident(server.pid):.0f} MiB; {len(fetched)} fetches, median "
                    f"{ordered[len(ordered) // 2]:.2f} s; {len(done) - ended} jobs ended; "
                    f"load {os.getloadavg()[0]:.1f}"
                )
                tasks.cancel_scope.cancel()
            server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pages", "live"))
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    if given.what == "pages":
        anyio.run(measure_pages, given.jobs)
    else:
        anyio.run(measure_live, given.pages, given.agents, given.seconds)


if __name__ == "__main__":
    main()
