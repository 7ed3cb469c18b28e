"""Ours, on any store: by the verbs of the store, or through the whole control plane.

``--level store`` asks the store for what the control plane asks of it: leases, versions, events,
counters, counts. ``--level plane`` adds every check, decision and encoding, and has an agent.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from measuring import TEXT, main

from cicd_core import ControlPlane, JobSpec, Outcome
from cicd_core.agent import Agent, JobRun
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
    Record,
    Watch,
)
from cicd_core.store.registry import open_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator

    from measuring import Countdown

    from cicd_core import ClaimedJob
    from cicd_core.store.contract import Store

IDS = IdSource()
LANE = "default/build"
LEASE = 30_000_000
BODY = b'{"v":1,"payload":"%s"}' % TEXT.encode()


class StoreVerbs:
    blocking = False
    lacks = frozenset({"worker"})

    def __init__(self, store: Store) -> None:
        self.store = store
        self.watches = (Watch(Partition(JOBS.name, READY, LANE)),)

    async def enqueue(self) -> None:
        await self.enqueue_many(1)

    async def enqueue_many(self, number: int) -> None:
        now = (await self.store.now()).micros
        answers = await self.store.commit([queued(now) for _ in range(number)])
        assert all(isinstance(each, Committed) for each in answers)

    async def claim(self, caller: int) -> Record:
        (record,) = await self.store.claim(claim_by(caller))
        return record

    async def complete(self, job: Record) -> None:
        (answer,) = await self.store.commit([finished(job)])
        assert isinstance(answer, Committed)

    async def pick_up(self) -> Record:
        while not (found := await self.store.claim(claim_by(0))):
            await self.store.wait(self.watches, 30.0)
        return found[0]


class WholeControlPlane:
    blocking = False
    lacks: frozenset[str] = frozenset()

    def __init__(self, plane: ControlPlane) -> None:
        self.plane, self.queue = plane, plane.queue
        self.running: asyncio.Task[object] | None = None
        self.spec = JobSpec(job_type="build", payload={"text": TEXT})

    async def enqueue(self) -> None:
        await self.queue.enqueue(self.spec)

    async def enqueue_many(self, number: int) -> None:
        await self.queue.enqueue_many([self.spec] * number)

    async def claim(self, caller: int) -> ClaimedJob:
        (claimed,) = await self.queue.claim(agent_id=f"a{caller}", start=True)
        return claimed

    async def complete(self, job: ClaimedJob) -> None:
        await self.queue.complete(job, Outcome.exited(0))

    async def pick_up(self) -> ClaimedJob:
        (claimed,) = await self.queue.claim(agent_id="a0", start=True, wait=30.0)
        return claimed

    async def work_off(self, left: Countdown, slots: int) -> None:
        async def build(run: JobRun) -> None:
            del run
            left.one()

        agent = Agent(self.plane, slots=slots)
        agent.add_handler("build", build)
        self.running = asyncio.create_task(agent.run())
        await left.wait()

    async def close(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait([self.running])


def queued(now: int) -> Commit:
    key = IDS.sortable(now)
    attributes = {
        "lane": LANE,
        "rank": f"2{now:016d}:{key}",
        "status": "queued",
        "created_at": sort_key(now, key),
    }
    put = Put(collection=JOBS.name, key=key, expected=0, body=BODY, attributes=attributes)
    return Commit(commit_id=IDS.commit_id(), writes=(put,), events=(event(key),))


def claim_by(caller: int) -> Claim:
    return Claim(
        claim_id=IDS.claim_id(),
        collection=JOBS.name,
        index=READY,
        partitions=(LANE,),
        limit=1,
        grant=b'{"agent_id":"agent","starting":true}',
        duration=LEASE,
        patch={"lane": None, "timer": LEASED, "agent_id": f"a{caller}", "status": "running"},
    )


def finished(record: Record) -> Commit:
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
    return Commit(
        commit_id=IDS.commit_id(),
        writes=(put,),
        events=(event(record.key, record.version), event(record.key)),
        increments=(Increment("wait/20261121|b42"), Increment("run/20261121|b10")),
    )


def event(key: str, version: int | None = None) -> EventWrite:
    body = b'{"t":"job.changed","at":1800000000000000,"d":{"by":"agent"}}'
    return EventWrite(collection=JOBS.name, key=key, version=version, ordinal=0, body=body)


@asynccontextmanager
async def opened(
    options: argparse.Namespace,
) -> AsyncGenerator[StoreVerbs | WholeControlPlane, None]:
    kind = options.url.partition("://")[0]
    asked = {"redis": "durability", "sqlite": "synchronous"}.get(kind)
    url = f"{options.url}?{asked}={options.durability}" if asked else options.url
    if options.level == "plane":
        async with ControlPlane.open(url, maintenance=False) as plane:
            contestant = WholeControlPlane(plane)
            yield contestant
            await contestant.close()
    else:
        async with open_store(url, collections=(JOBS,)) as store:
            yield StoreVerbs(store)


if __name__ == "__main__":
    main(opened)
