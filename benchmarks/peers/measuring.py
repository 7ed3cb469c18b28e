"""What every contestant is asked to do, and how it is timed; the standard library alone.

A runner is a program of its own, so that each contestant has its own process, interpreter and
packages. It is given a server and one kind of work, and prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator
    from contextlib import AbstractAsyncContextManager

    More = Callable[[], bool]

#: What each job carries.
TEXT = "x" * 300
#: How many jobs one bulk call brings.
BULK = 500
#: How many single calls are under way while a queue is filled by a contestant without bulk calls.
CROWD = 64
#: How many claims, and how many pick-ups, make a median and a 99th of a hundred.
SAMPLES = 200
#: How long an idle worker is left idle before work comes, in seconds.
IDLE = 0.02


class Contestant(Protocol):
    """A queue over asyncio. A blocking one has the same methods without `async`."""

    #: Whether its calls block the thread, so that callers are threads.
    blocking: bool
    #: What it cannot do: ``"bulk"``, ``"pickup"``.
    lacks: frozenset[str]

    async def enqueue(self) -> None:
        """Queue one job."""

    async def enqueue_many(self, number: int) -> None:
        """Queue many jobs in one call."""

    async def claim(self, caller: int) -> Any:
        """Take a job that is there."""

    async def complete(self, job: Any) -> None:
        """Say that it is done."""

    async def pick_up(self) -> Any:
        """Wait for a job, and take it at once."""

    async def work_off(self, left: Countdown, slots: int) -> None:
        """Start its own worker, whose jobs do nothing but count down, and wait until none is left.

        The worker is stopped when the contestant is closed, after the clock has stopped.
        """


class Countdown:
    """How many jobs have not been run."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._none = asyncio.Event()

    def one(self) -> None:
        """One was run, on the event loop."""
        self._left -= 1
        if not self._left:
            self._none.set()

    async def wait(self) -> None:
        """Wait until all were run."""
        await self._none.wait()


class Meter:
    """The time and the CPU that parts of a work took, in this process and in the server's."""

    def __init__(self, server_pid: int | None) -> None:
        self._server_pid = server_pid
        self._seconds = self._client = self._server = 0.0

    @property
    def seconds(self) -> float:
        """How long all parts took."""
        return self._seconds

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """Count what happens inside."""
        wall, client, server = time.perf_counter(), time.process_time(), self._server_cpu()
        yield
        self._seconds += time.perf_counter() - wall
        self._client += time.process_time() - client
        self._server += self._server_cpu() - server

    def answer(self, jobs: int) -> dict[str, float]:
        """Return jobs a second, and microseconds of CPU a job."""
        found = {"rate": jobs / self._seconds, "client_us": self._client / jobs * 1e6}
        if self._server_pid is not None:
            found["server_us"] = self._server / jobs * 1e6
        return found

    def _server_cpu(self) -> float:
        if self._server_pid is None:
            return 0.0
        with open(f"/proc/{self._server_pid}/stat") as file:  # noqa: PTH123 - runs without ours
            user, system = file.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def repeat(step: Callable[[int], Awaitable[None]], more: More, caller: int) -> int:
    """Repeat what one caller does; return how often."""
    done = 0
    while more():
        await step(caller)
        done += 1
    return done


def repeat_blocking(step: Callable[[int], None], more: More, caller: int) -> int:
    """Do the same in a thread."""
    done = 0
    while more():
        step(caller)
        done += 1
    return done


class Bench:
    """One contestant at work."""

    def __init__(self, contestant: Any) -> None:
        self.contestant = contestant

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a method, in a thread if it blocks."""
        if self.contestant.blocking:
            return await asyncio.to_thread(function, *arguments)
        return await function(*arguments)

    async def crowd(self, callers: int, step: Callable[[int], Any], more: More) -> int:
        """Let callers, tasks or threads, repeat a step while they may; count the steps."""
        if not self.contestant.blocking:
            return sum(await asyncio.gather(*(repeat(step, more, each) for each in range(callers))))
        running = asyncio.get_running_loop()
        with ThreadPoolExecutor(callers) as pool:
            loops = (
                running.run_in_executor(pool, repeat_blocking, step, more, each)
                for each in range(callers)
            )
            return sum(await asyncio.gather(*loops))

    async def fill(self, number: int) -> None:
        """Queue jobs, in bulk where that can be done."""
        step = BULK if "bulk" not in self.contestant.lacks else CROWD
        for start in range(0, number, step):
            part = min(step, number - start)
            if step == BULK:
                await self.ask(self.contestant.enqueue_many, part)
            elif self.contestant.blocking:
                await asyncio.to_thread(self._enqueue_some, part)
            else:
                await asyncio.gather(*(self.contestant.enqueue() for _ in range(part)))

    def _enqueue_some(self, number: int) -> None:
        for _ in range(number):
            self.contestant.enqueue()

    # -------------------------------------------------------------------------------------- works

    async def enqueue(self, options: argparse.Namespace) -> dict[str, Any]:
        """Single calls by many callers at once."""
        operate, meter = self.contestant.enqueue, Meter(options.server_pid)
        end = time.perf_counter() + options.seconds
        with meter.running():
            done = await self.crowd(
                options.callers, lambda _: operate(), lambda: time.perf_counter() < end
            )
        return meter.answer(done)

    async def bulk(self, options: argparse.Namespace) -> dict[str, Any]:
        """Bulk calls, one after the other."""
        done, meter = 0, Meter(options.server_pid)
        with meter.running():
            end = time.perf_counter() + options.seconds
            while time.perf_counter() < end:
                await self.ask(self.contestant.enqueue_many, BULK)
                done += BULK
        return meter.answer(done)

    async def pairs(self, options: argparse.Namespace) -> dict[str, Any]:
        """Claim and complete; filling the queue is not timed."""
        pairs, meter = 0, Meter(options.server_pid)
        while meter.seconds < options.seconds:
            await self.fill(options.depth)
            budget = iter(range(options.depth))
            end = time.perf_counter() + options.seconds - meter.seconds
            with meter.running():
                pairs += await self._pairs(options.callers, budget, end)
        return meter.answer(pairs)

    async def worker(self, options: argparse.Namespace) -> dict[str, Any]:
        """A real worker, with as many slots as there would be callers, over a filled queue."""
        await self.fill(options.depth)
        meter = Meter(options.server_pid)
        with meter.running():
            await self.contestant.work_off(Countdown(options.depth), options.callers)
        return meter.answer(options.depth)

    async def _pairs(self, callers: int, budget: Iterator[int], end: float) -> int:
        claim, complete = self.contestant.claim, self.contestant.complete

        def more() -> bool:
            return time.perf_counter() < end and next(budget, None) is not None

        async def pair(caller: int) -> None:
            await complete(await claim(caller))

        def pair_blocking(caller: int) -> None:
            complete(claim(caller))

        step = pair_blocking if self.contestant.blocking else pair
        return await self.crowd(callers, step, more)

    async def latency(self, options: argparse.Namespace) -> dict[str, Any]:
        """How long one claim takes, without other agents, over a queue of some depth."""
        await self.fill(options.depth)
        took: list[float] = []
        claim, complete = self.contestant.claim, self.contestant.complete
        for _ in range(SAMPLES):
            started = time.perf_counter()
            job = claim(0) if self.contestant.blocking else await claim(0)
            took.append(time.perf_counter() - started)
            await self.ask(complete, job)
        return {"p50_us": statistics.median(took) * 1e6}

    async def pickup(self, options: argparse.Namespace) -> dict[str, Any]:
        """From the call that queues a job until an idle worker has it."""
        del options
        took: list[float] = []
        for _ in range(SAMPLES):
            worker = asyncio.create_task(self.timed_pick_up())
            await asyncio.sleep(IDLE)
            started = time.perf_counter()
            await self.ask(self.contestant.enqueue)
            job, at = await worker
            took.append(at - started)
            await self.ask(self.contestant.complete, job)
        nearly_longest = sorted(took)[-(SAMPLES // 100)]
        return {"p50_us": statistics.median(took) * 1e6, "p99_us": nearly_longest * 1e6}

    async def timed_pick_up(self) -> tuple[Any, float]:
        """Wait for a job; return it, and when it was there."""
        if not self.contestant.blocking:
            return await self.contestant.pick_up(), time.perf_counter()
        return await asyncio.to_thread(lambda: (self.contestant.pick_up(), time.perf_counter()))

    async def fill_up(self, options: argparse.Namespace) -> dict[str, Any]:
        """Queue jobs and leave them: who runs this asks the server what it makes of them."""
        await self.fill(options.depth)
        return {"count": options.depth}

    async def drain(self, options: argparse.Namespace) -> dict[str, Any]:
        """Claim and complete jobs that are there already."""
        budget = iter(range(options.depth))
        return {"count": await self._pairs(options.callers, budget, float("inf"))}


WORKS = ("enqueue", "bulk", "pairs", "worker", "latency", "pickup", "fill_up", "drain")


@contextmanager
def reading() -> Generator[argparse.Namespace, None, None]:
    """Read the options of a runner from its command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--durability", default="none")
    parser.add_argument("--server-pid", type=int, help="whose CPU is counted too")
    parser.add_argument("--level", default="store", help="of ours: store, plane or agent")
    parser.add_argument("--work", choices=WORKS, required=True)
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--depth", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=2.0)
    yield parser.parse_args()


def main(opened: Callable[[argparse.Namespace], AbstractAsyncContextManager[Any]]) -> None:
    """Do the one work that the command line names, and print what it gave."""

    async def run(options: argparse.Namespace) -> dict[str, Any]:
        async with opened(options) as contestant:
            if options.work in contestant.lacks:
                return {}
            bench = Bench(contestant)
            await bench.fill(1)  # connections, scripts and imports are there before the clock runs
            await bench.ask(contestant.complete, await bench.ask(contestant.claim, 0))
            work: Callable[[argparse.Namespace], Awaitable[dict[str, Any]]]
            work = getattr(bench, options.work)
            return await work(options)

    with reading() as options:
        print(json.dumps(asyncio.run(run(options))))
