"""CPU of one lifecycle through the control plane: enqueue, claim with start, complete.

    python -m benchmarks.lifecycle_cpu --store memory sqlite redis --callers 1 64
    python -m benchmarks.lifecycle_cpu --profile

CPU seconds of this process, not wall time; the median of the rounds, which take turns over the
cases. All callers enqueue, then all claim, then all complete, each its part of the jobs. Beside it
stands a loop of plain Python in the same run, so that numbers of two machines can be compared: a
lifecycle costs so many turns of that loop.

To compare two states of the library, run this one with the other's sources: ``PYTHONPATH=…/src``.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import tempfile
import time
import warnings
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import anyio

from cicd_core import ControlPlane, JobSpec, Outcome
from cicd_core_redis.durability import KeepsNothing
from tests.redis.engines import open_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

#: About what the peers are given.
PAYLOAD: Final = {"text": "x" * 280, "number": 7, "list": [1, 2, 3]}
STORES: Final = ("memory", "sqlite", "redis")
PARTS: Final = ("enqueue", "claim", "complete")
#: How many jobs go first, for what is loaded or learned once.
WARM: Final = 128


def reference() -> float:
    """CPU seconds of a turn of a loop that makes and reads small objects."""
    began = time.process_time()
    for number in range(20_000):
        made: dict[str, Any] = {
            "number": number,
            "text": str(number),
            "items": (number, number + 1),
        }
        assert made["items"][1] == number + 1
    return (time.process_time() - began) / 20_000


@contextmanager
def opened(store: str) -> Generator[str, None, None]:
    """Yield the URL of an empty store."""
    if store == "memory":
        yield "memory://"
    elif store == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/ci.db"
    else:
        with open_server() as server, warnings.catch_warnings():
            warnings.simplefilter("ignore", KeepsNothing)
            yield server.url


async def by_callers(step: Callable[[], Awaitable[None]], callers: int, jobs: int) -> float:
    """Let each caller take its part of the steps; return CPU seconds a step."""

    async def repeat() -> None:
        for _ in range(jobs // callers):
            await step()

    began = time.process_time()
    async with anyio.create_task_group() as group:
        for _ in range(callers):
            group.start_soon(repeat)
    return (time.process_time() - began) / (jobs // callers * callers)


async def lifecycles(url: str, callers: int, jobs: int) -> tuple[float, ...]:
    """CPU seconds a job: to enqueue it, to claim it started, to complete it."""
    spec = JobSpec(job_type="shell", payload=PAYLOAD)
    async with ControlPlane.open(url, maintenance=False) as plane:
        held: list[Any] = []

        async def enqueue() -> None:
            await plane.queue.enqueue(spec)

        async def claim() -> None:
            held.extend(await plane.queue.claim(agent_id="a", start=True))

        async def complete() -> None:
            await plane.queue.complete(held.pop(), Outcome.exited(0))

        async def measured(number: int) -> tuple[float, ...]:
            steps = (enqueue, claim, complete)
            return tuple([await by_callers(each, callers, number) for each in steps])

        await measured(WARM)
        return await measured(jobs)


def measure(store: str, callers: int, jobs: int) -> tuple[float, ...]:
    """Return the parts of one lifecycle on an empty store."""
    with opened(store) as url:
        return anyio.run(lifecycles, url, callers, jobs)


def show_profile(store: str, callers: int, jobs: int) -> None:
    """Print where one round spends it, on the event loop's thread."""
    profiler = cProfile.Profile()
    with opened(store) as url:
        profiler.enable()
        anyio.run(lifecycles, url, callers, jobs)
        profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(50)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", nargs="+", choices=STORES, default=["memory"])
    parser.add_argument("--callers", nargs="+", type=int, default=[1])
    parser.add_argument("--jobs", type=int, default=2048, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--profile", action="store_true", help="show where a round spends it")
    asked = parser.parse_args()
    cases = list(product(asked.store, asked.callers))
    if asked.profile:
        for store, callers in cases:
            show_profile(store, callers, asked.jobs)
        return
    rounds: dict[tuple[str, int], list[tuple[float, ...]]] = {case: [] for case in cases}
    loops: list[float] = []
    for _ in range(asked.rounds):
        loops.append(reference())
        for case, found in rounds.items():
            found.append(measure(*case, asked.jobs))
    loop = statistics.median(loops)
    rows = [
        {
            "store": store,
            "callers": callers,
            "us": round(statistics.median(map(sum, found)) * 1e6),
            "turns": round(statistics.median(map(sum, found)) / loop),
        }
        | {
            name: round(statistics.median(part) * 1e6)
            for name, part in zip(PARTS, zip(*found, strict=True), strict=True)
        }
        for (store, callers), found in rounds.items()
    ]
    if asked.json:
        print(json.dumps({"reference_us": loop * 1e6, "lifecycles": rows}))
        return
    print(f"a turn of the reference loop: {loop * 1e6:.2f} us of CPU")
    for row in rows:
        parts = ", ".join(f"{name} {row[name]}" for name in PARTS)
        print(f"{row['store']:6} {row['callers']:3} callers: {row['us']:5} us ({parts}), ", end="")
        print(f"{row['turns']} turns")


if __name__ == "__main__":
    main()
