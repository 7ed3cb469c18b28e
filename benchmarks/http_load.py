"""Many agents that wait for work at a server, and jobs that come at a steady rate.

    python benchmarks/http_load.py --agents 200 --rate 50 --seconds 120

Each agent has one connection: it claims with a long poll, starts the job by the claim, and
completes it. The pick-up of a job is the time from the answer to its enqueue until an agent has it.
Agents and the caller that enqueues are one process beside the server, and take their share of the
cores.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from http_driver import connected, load_of_machine, running


class Load:
    """The agents, the caller, and what they measured."""

    def __init__(self, port: int, agents: int, rate: float, seconds: float) -> None:
        self.port = port
        self.agents = agents
        self.rate = rate
        self.seconds = seconds
        self.enqueued: dict[str, float] = {}
        self.taken: dict[str, float] = {}
        self.calls = 0
        self.late = 0.0

    async def work(self, number: int) -> None:
        claim = {"agent_id": f"agent-{number:03}", "wait": 25.0, "start": True}
        async with connected(self.port) as connection:
            while True:
                status, answer = await connection.call("POST", "/api/queue/claim", claim)
                self.calls += 1
                if status == HTTPStatus.NO_CONTENT:
                    continue
                (claimed,) = answer["claims"]
                job_id = claimed["job"]["job_id"]
                assert job_id not in self.taken, "two agents have one job"
                self.taken[job_id] = time.perf_counter()
                ended = {"token": claimed["token"], "outcome": {"verdict": "success"}}
                path = f"/api/queue/jobs/{job_id}/complete"
                status, answer = await connection.call("PATCH", path, ended)
                assert status == HTTPStatus.OK, answer
                self.calls += 1

    async def enqueue(self) -> None:
        async with connected(self.port) as connection:
            begun = time.perf_counter()
            for number in range(round(self.rate * self.seconds)):
                due = begun + number / self.rate
                await asyncio.sleep(due - time.perf_counter())
                self.late = max(self.late, time.perf_counter() - due)
                body = {"job_type": "build", "payload": {"number": number}}
                status, job = await connection.call("POST", "/api/queue/jobs", body)
                assert status == HTTPStatus.CREATED, job
                self.calls += 1
                self.enqueued[job["job_id"]] = time.perf_counter()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(self.work(number)) for number in range(self.agents)]
            await asyncio.sleep(2)  # all of them wait
            await self.enqueue()
            while len(self.taken) < len(self.enqueued):  # noqa: ASYNC110 - a count has no event
                await asyncio.sleep(0.05)
            for worker in workers:
                worker.cancel()


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=200, metavar="N")
    parser.add_argument("--rate", type=float, default=50.0, metavar="JOBS", help="a second")
    parser.add_argument("--seconds", type=float, default=120.0, metavar="S")
    parser.add_argument("--store", metavar="URL", help="a SQLite file of its own if left out")
    given = parser.parse_args()
    print(load_of_machine())
    with tempfile.TemporaryDirectory() as folder:
        store = given.store or f"sqlite:///{Path(folder, 'ci.db')}"
        serving = ["-m", "cicd_core", "serve", "--port", "0", "--quiet", "--store", store]
        with running(serving) as server:
            port = urlsplit(server.line).port
            assert port is not None
            load = Load(port, given.agents, given.rate, given.seconds)
            before, began = server.cpu_seconds(), time.perf_counter()
            own = time.process_time()
            asyncio.run(load.run())
            took = time.perf_counter() - began
            cpu, own = server.cpu_seconds() - before, time.process_time() - own
            now, highest = server.memory_mib()
    # A claim may be answered before the enqueue that it is of.
    waits = [max(0.0, load.taken[job] - at) * 1000 for job, at in load.enqueued.items()]
    print(f"jobs      {len(waits)} in {took:.0f} s, {load.calls} requests answered")
    print(
        f"pick-up   p50 {statistics.median(waits):.1f} ms, p99 {percentile(waits, 0.99):.1f} ms, "
        f"longest {max(waits):.0f} ms"
    )
    print(f"server    {cpu / took:.2f} cores, {cpu / len(waits) * 1000:.1f} ms of CPU a job")
    print(f"memory    {now:.0f} MiB, {highest:.0f} MiB at most")
    print(
        f"driver    {own / took:.2f} cores; an enqueue began {load.late * 1000:.0f} ms late at most"
    )
    print(load_of_machine())


if __name__ == "__main__":
    main()
