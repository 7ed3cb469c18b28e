"""Claim + complete on SQLite: the store beside the raw driver, interleaved in the same run.

A pair is one claim of the best queued job and one commit of it as finished. Every contestant does
it on a file of its own, at each number of concurrent callers and at each depth of the queue::

    python benchmarks/sqlite_claims.py --runs 3 --seconds 2
    python benchmarks/sqlite_claims.py --depths 1000 --callers 64 --synchronous normal --json

========== ===================================================================================
raw        `sqlite3`, one transaction an operation, in a plain loop: callers share that loop
raw-group  `sqlite3` on one thread, whatever callers ask meanwhile in one transaction
store      the verbs of `open_store("sqlite:///…")`: leases, versions, events, counters, counts
plane      `ControlPlane.queue.claim` and `.complete`: all of that, and every check and decision
========== ===================================================================================

The raw ones keep no log, no counters and no history: they are the limit, not a rival. Medians of
the runs; on a machine that others use too, trust the ratios. A file is filled once for each
depth, and kept with `--folder`, so that a second run starts at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import queue
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field, frozen
from sqlite_ratios import ratios, show
from whole_control_plane import WholeControlPlane

from cicd_core.ids import IdSource
from cicd_core.model.instants import sort_key
from cicd_core.persistence.collections import JOBS, LEASED, READY
from cicd_core.store.records import (
    Claim,
    Commit,
    Committed,
    EventWrite,
    Increment,
    Partition,
    Put,
)
from cicd_core.store.registry import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from cicd_core.store.contract import Store

BODY = json.dumps({"v": 1, "payload": "x" * 300}).encode()
LANE = "pool/shell"
LEASE = 30_000_000
IDS = IdSource()


class Contestant(Protocol):
    """A client that queues jobs, and claims and completes them."""

    async def top_up(self, depth: int) -> None:
        """Queue jobs until there are `depth`."""

    async def pair(self, caller: int) -> float:
        """Claim a job and complete it; return how long the claim took, in seconds."""


# ------------------------------------------------------------------------------------------ raw

RAW_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id INTEGER PRIMARY KEY, lane TEXT, rank TEXT, status TEXT NOT NULL, claim_id TEXT,
  expires INTEGER, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS ready ON jobs (lane, rank) WHERE lane IS NOT NULL;
"""
RAW_CLAIM = """
UPDATE jobs SET lane = NULL, status = 'running', claim_id = ?, expires = ? WHERE id =
  (SELECT id FROM jobs WHERE lane = ? ORDER BY rank LIMIT 1) RETURNING id, body
"""
RAW_COMPLETE = "UPDATE jobs SET status = 'success', body = ? WHERE id = ? AND claim_id = ?"


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.executescript(RAW_SCHEMA)
    return connection


class Raw:
    """One statement is one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, synchronous: str) -> AsyncGenerator[Raw, None]:
        connection = connect(path, synchronous)
        yield cls(connection)
        connection.close()

    async def top_up(self, depth: int) -> None:
        counted = self.connection.execute("SELECT count(*) FROM jobs WHERE lane IS NOT NULL")
        (queued,) = counted.fetchone()
        now = time.time_ns() // 1000
        rows = ((LANE, f"2:{IDS.sortable(now)}", BODY) for _ in range(depth - queued))
        self.connection.execute("BEGIN")
        self.connection.executemany(
            "INSERT INTO jobs (lane, rank, status, body) VALUES (?, ?, 'queued', ?)", rows
        )
        self.connection.execute("COMMIT")

    async def pair(self, caller: int) -> float:
        del caller  # they share the one loop
        claim_id = IDS.claim_id()
        started = time.perf_counter()
        (row,) = self.claim(claim_id)
        took = time.perf_counter() - started
        assert self.complete(row[0], claim_id) == 1
        return took

    def claim(self, claim_id: str) -> list[tuple[int, bytes]]:
        expires = time.monotonic_ns() + LEASE
        return self.connection.execute(RAW_CLAIM, (claim_id, expires, LANE)).fetchall()

    def complete(self, job: int, claim_id: str) -> int:
        return self.connection.execute(RAW_COMPLETE, (BODY, job, claim_id)).rowcount


class RawGroup(Raw):
    """A thread takes all that was asked so far, and does it in one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.loop = asyncio.get_running_loop()
        self.asked: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, synchronous: str) -> AsyncGenerator[RawGroup, None]:
        connection = connect(path, synchronous)
        contestant = cls(connection)
        yield contestant
        contestant.asked.put(None)
        contestant.thread.join()
        connection.close()

    async def pair(self, caller: int) -> float:
        del caller
        claim_id = IDS.claim_id()
        started = time.perf_counter()
        (row,) = await self.ask(lambda: self.claim(claim_id))
        took = time.perf_counter() - started
        assert await self.ask(lambda: self.complete(row[0], claim_id)) == 1
        return took

    async def ask(self, function: Callable[[], Any]) -> Any:
        future: asyncio.Future[Any] = self.loop.create_future()
        self.asked.put((function, future))
        return await future

    def serve(self) -> None:
        while (first := self.asked.get()) is not None:
            batch = [first]
            while not self.asked.empty() and (each := self.asked.get()) is not None:
                batch.append(each)
            self.connection.execute("BEGIN IMMEDIATE")
            answers = [function() for function, _ in batch]
            self.connection.execute("COMMIT")
            self.loop.call_soon_threadsafe(settle, [future for _, future in batch], answers)


def settle(futures: list[asyncio.Future[Any]], answers: list[Any]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        future.set_result(answer)


# ---------------------------------------------------------------------------------------- store


class StoreVerbs:
    """The store's own verbs, with what the control plane would write: events, counters, lease."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, synchronous: str) -> AsyncGenerator[StoreVerbs, None]:
        url = f"sqlite:///{path}?synchronous={synchronous}"
        async with open_store(url, collections=(JOBS,)) as store:
            yield cls(store)

    async def top_up(self, depth: int) -> None:
        (queued,) = await self.store.count([Partition(JOBS.name, READY, LANE)])
        for start in range(queued.number, depth, 2000):
            now = (await self.store.now()).micros
            puts = [self.queued(now) for _ in range(start, min(start + 2000, depth))]
            await self.store.commit(
                [
                    Commit(commit_id=IDS.commit_id(), writes=(put,), events=(event(put.key),))
                    for put in puts
                ]
            )

    async def pair(self, caller: int) -> float:
        claim = Claim(
            claim_id=IDS.claim_id(),
            collection=JOBS.name,
            index=READY,
            partitions=(LANE,),
            limit=1,
            grant=b'{"agent_id":"agent","starting":true}',
            duration=LEASE,
            patch={"lane": None, "timer": LEASED, "agent_id": f"a{caller}", "status": "running"},
        )
        started = time.perf_counter()
        (record,) = await self.store.claim(claim)
        took = time.perf_counter() - started
        attributes = {**record.attributes, "status": "success"}
        del attributes["timer"], attributes["due"]
        put = Put(
            collection=JOBS.name,
            key=record.key,
            expected=record.version,
            body=BODY,
            attributes=attributes,
            lease=None,
        )
        commit = Commit(
            commit_id=IDS.commit_id(),
            writes=(put,),
            events=(event(record.key, record.version), event(record.key)),
            increments=(Increment("wait/20261121|b42"), Increment("run/20261121|b10")),
        )
        (answer,) = await self.store.commit([commit])
        assert isinstance(answer, Committed)
        return took

    def queued(self, now: int) -> Put:
        key = IDS.sortable(now)
        attributes = {
            "lane": LANE,
            "rank": f"2{now:016d}:{key}",
            "status": "queued",
            "created_at": sort_key(now, key),
        }
        return Put(collection=JOBS.name, key=key, expected=0, body=BODY, attributes=attributes)


def event(key: str, version: int | None = None) -> EventWrite:
    body = b'{"t":"job.changed","at":1800000000000000,"d":{"by":"agent"}}'
    return EventWrite(collection=JOBS.name, key=key, version=version, ordinal=0, body=body)


#: Who takes part. Another one is a class with `open`, `top_up` and `pair`, and a word here.
CONTESTANTS: dict[str, Any] = {
    "raw": Raw,
    "raw-group": RawGroup,
    "store": StoreVerbs,
    "plane": WholeControlPlane,
}

# ----------------------------------------------------------------------------------------- runs


@frozen
class Case:
    """What is measured: who, with how many callers, over how many queued jobs."""

    contestant: str
    callers: int
    depth: int


@define
class Measured:
    """What the runs of a case gave."""

    rates: list[float] = field(factory=list)
    claims: list[float] = field(factory=list)

    def row(self, case: Case) -> dict[str, Any]:
        return {
            "contestant": case.contestant,
            "callers": case.callers,
            "depth": case.depth,
            "pairs_per_second": round(statistics.median(self.rates)),
            "claim_p50_us": round(statistics.median(self.claims) * 1e6, 1),
            "runs": [round(rate) for rate in self.rates],
        }


async def run(contestant: Contestant, case: Case, seconds: float) -> tuple[float, list[float]]:
    """Return pairs a second, and how long each claim took; topping up is not timed."""
    pairs, spent, claims = 0, 0.0, []
    while spent < seconds:
        await contestant.top_up(case.depth)
        budget = iter(range(case.depth // 2))  # so that the queue stays about as deep
        started = time.perf_counter()
        end = started + seconds - spent

        async def caller(number: int, end: float = end, budget: Any = budget) -> int:
            done = 0
            while time.perf_counter() < end and next(budget, None) is not None:
                claims.append(await contestant.pair(number))
                done += 1
            return done

        callers = 1 if case.contestant == "raw" else case.callers
        pairs += sum(await asyncio.gather(*(caller(number) for number in range(callers))))
        spent += time.perf_counter() - started
    return pairs / spent, claims


async def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    results: dict[Case, Measured] = {}
    for depth in options.depths:
        for number in range(options.runs):
            for callers in options.callers:
                for name in options.contestants:
                    case = Case(name, callers, depth)
                    say(options, f"run {number + 1}/{options.runs}: {case}")
                    path = folder / f"{name}-{depth}.db"
                    async with CONTESTANTS[name].open(path, options.synchronous) as contestant:
                        await contestant.top_up(depth)
                        rate, claims = await run(contestant, case, options.seconds)
                    measured = results.setdefault(case, Measured())
                    measured.rates.append(rate)
                    measured.claims.append(statistics.median(claims))
    return [measured.row(case) for case, measured in results.items()]


def say(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--depths", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS])
    parser.add_argument("--synchronous", choices=["full", "normal"], default="full")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the files here, and use those there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = asyncio.run(measure(options, folder.absolute()))
    if options.json:
        print(json.dumps({"results": rows, "ratios": ratios(rows)}, indent=2))
    else:
        show(rows)


if __name__ == "__main__":
    main()
