"""How often one agent calls for each job, and what the store does for it.

    python -m benchmarks.agent_trips --store memory sqlite redis --slots 1 16 64
    python -m benchmarks.agent_trips --store redis --http --slots 1 16 64
    python -m benchmarks.agent_trips --store redis --http --slots 16 --work 20

All jobs are queued before the agent begins; it ends when none is left. A handler does nothing, or
sleeps for a random time of up to ``--work`` milliseconds, which spreads the ends of jobs. With
``--http`` the agent is a client of a server in another process, so that each call of the queue is a
request. Each figure is a number for one job; CPU is that of the agent's process, in microseconds,
and the only one that depends on the machine.

``hops`` are calls of the thread of SQLite, which are transactions; ``scripts`` those of Redis.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import warnings
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import anyio

from benchmarks.http_driver import running
from benchmarks.lifecycle_cpu import PAYLOAD, STORES
from cicd_core import ControlPlane, JobSpec
from cicd_core.agent import Agent, JobRun
from cicd_core.http.client import RemoteControlPlane
from cicd_core.store.sqlite.connection import ConnectionThread
from cicd_core_redis.durability import KeepsNothing
from tests.redis.engines import open_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

#: The calls that come with jobs; the others come with time.
OF_JOBS: Final = ("claim", "complete", "exchange", "release")


class CountedQueue:
    """A queue some of whose calls are counted."""

    def __init__(self, queue: Any, calls: Counter[str]) -> None:
        self._queue = queue
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._queue, name)
        if name not in OF_JOBS:
            return found
        call: Callable[..., Awaitable[Any]] = found

        def counted(*given: Any, **named: Any) -> Awaitable[Any]:
            self._calls[name] += 1
            return call(*given, **named)

        return counted


class CountedSource:
    """A work source whose queue is counted; those of its siblings are not."""

    def __init__(self, source: Any, calls: Counter[str]) -> None:
        self.queue: Any = CountedQueue(source.queue, calls)
        self.agents: Any = source.agents
        self.sibling: Any = source.sibling


@contextmanager
def counted_hops(counts: Counter[str]) -> Generator[None]:
    """Count the calls of the threads of SQLite."""
    call: Any = ConnectionThread.call

    async def counted(self: ConnectionThread, function: Any) -> Any:
        counts["hops"] += 1
        return await call(self, function)

    patched: Any = ConnectionThread
    patched.call = counted
    try:
        yield
    finally:
        patched.call = call


class Case:
    """One store, one number of slots, and what is counted."""

    def __init__(self, store: str, slots: int, given: argparse.Namespace) -> None:
        self.store = store
        self.slots = slots
        self.jobs: int = given.jobs
        self.work: float = given.work / 1000
        self.over_http: bool = given.http
        self.counts: Counter[str] = Counter()

    def measure(self) -> dict[str, float]:
        """Return the figures for one job."""
        with ExitStack() as stack:
            url, client = self._opened(stack)
            at = self._served(stack, url) if self.over_http else None
            if self.store == "sqlite" and at is None:
                stack.enter_context(counted_hops(self.counts))

            def begin() -> None:
                self.counts.clear()
                if client is not None:
                    client.config_resetstat()

            cpu = anyio.run(self._work_off, url, at, begin)
            if client is not None:
                stats: dict[str, Any] = client.info("commandstats")
                self.counts["scripts"] = stats["cmdstat_evalsha"]["calls"]
        figures = {name: number / self.jobs for name, number in sorted(self.counts.items())}
        return {**figures, "CPU": cpu / self.jobs * 1e6}

    def _opened(self, stack: ExitStack) -> tuple[str, Any]:
        """Return the URL of an empty store, and a client of its server if it has one."""
        if self.store == "redis":
            server = stack.enter_context(open_server())
            return server.url, stack.enter_context(server.client())
        if self.store == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            return f"sqlite:///{folder}/ci.db", None
        return "memory://", None

    @staticmethod
    def _served(stack: ExitStack, url: str) -> str:
        serving = ["-m", "cicd_core", "serve", "--port", "0", "--quiet", "--store", url]
        return stack.enter_context(running(serving)).line

    async def _work_off(self, url: str, at: str | None, begin: Callable[[], None]) -> float:
        """Let an agent do the jobs; return the CPU seconds of this process."""
        dice = random.Random(1)

        async def handle(_run: JobRun) -> None:
            if self.work:
                await anyio.sleep(dice.uniform(0, self.work))

        async with AsyncExitStack() as stack:
            plane = await stack.enter_async_context(ControlPlane.open(url, maintenance=False))
            specs = [JobSpec(job_type="shell", payload=PAYLOAD)] * self.jobs
            await plane.queue.enqueue_many(specs)
            source: Any = plane
            if at is not None:
                source = await stack.enter_async_context(RemoteControlPlane(at))
            agent = Agent(CountedSource(source, self.counts), slots=self.slots)
            agent.add_handler("shell", handle)
            begin()
            began = time.process_time()
            await agent.run(until_idle=True)
            return time.process_time() - began


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="How often one agent calls for each job.")
    parser.add_argument("--store", nargs="+", choices=STORES, default=["sqlite"])
    parser.add_argument("--slots", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--jobs", type=int, default=1024)
    parser.add_argument("--work", type=float, default=0.0, metavar="MS", help="of each job")
    parser.add_argument("--http", action="store_true", help="through a server")
    given = parser.parse_args()
    warnings.simplefilter("ignore", KeepsNothing)
    for store, slots in product(given.store, given.slots):
        if given.http and store == "memory":
            parser.error("a server of another process cannot share a store in memory")
        found = Case(store, slots, given).measure()
        shown = ", ".join(
            f"{name} {number:.0f}" if name == "CPU" else f"{name} {number:.3f}"
            for name, number in found.items()
        )
        print(f"{store:6} {slots:3} slots: {shown}", flush=True)


if __name__ == "__main__":
    main()
