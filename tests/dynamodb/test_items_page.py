"""The page of the items shows an example of every kind that the store writes, and no other."""

from __future__ import annotations

import json
import re
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    AgentSpec,
    ControlPlane,
    DeploymentSpec,
    JobSpec,
    Outcome,
    PoolSpec,
    Priority,
)
from cicd_core.entities import COLLECTIONS
from cicd_core.store.registry import StoreURL, open_store
from cicd_core.testing.samples import COLLECTIONS as SAMPLES
from cicd_core.testing.samples import event_of, item, remove, write
from cicd_core_dynamodb import counters, log_leader
from cicd_core_dynamodb.log_leader import EVERY
from cicd_core_dynamodb.tables import JOURNAL
from tests.dynamodb.engines import engines, running

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "dynamodb-items.md"
EXAMPLE = re.compile(r"<!-- item: ([\w, -]+) -->\n```json\n(.*?)\n```", re.DOTALL)
#: So many items of the log are folded into sums, and so many jobs make more.
FOLDED, JOBS = 8, 12

Shape = dict[str, str]


def shape_of(item: Mapping[str, Mapping[str, Any]]) -> Shape:
    """The names of an item's attributes, and their types."""
    return {name: next(iter(value)) for name, value in item.items()}


def examples() -> dict[str, Shape]:
    found = EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))
    return {name: shape_of(json.loads(text)) for name, text in found}


def kind_of_journal(item: Mapping[str, Mapping[str, Any]]) -> str:
    """What an item of the journal is, by its stream and its place in it."""
    stream, place = item["P"]["S"], item["Q"]["S"]
    kind = "settings" if stream == "|settings" else stream.rsplit("|", 2)[-2]
    return {
        "d": "log, base" if place == "-" else "log",
        "c": "counters, complete" if place == "complete" else "counters",
        "m": "mark",
        "t": "turn",
        "w": "journal",
    }.get(kind, kind)


async def scanned(client: Any, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async for page in client.get_paginator("scan").paginate(TableName=table):
        found += page["Items"]
    return found


async def written(url: str) -> dict[str, dict[str, Any]]:
    """Use everything, and return an item of each kind."""
    options = StoreURL.parse(url).options
    prefix = options["prefix"]
    found: dict[str, dict[str, Any]] = {}
    session = import_module("aioboto3").Session()
    async with (
        session.client(
            "dynamodb", region_name="us-east-1", endpoint_url=options["endpoint"]
        ) as client,
        ControlPlane.open(url, maintenance=False) as plane,
        open_store(url.replace(prefix, f"{prefix}more-"), collections=SAMPLES) as samples,
    ):
        await plane.agents.register(AgentSpec(agent_id="agent-1", pool_name="linux"))
        spec = JobSpec(job_type="build", pool_name="linux", payload={"script": "make test"})
        await plane.queue.enqueue(spec)
        found["job, queued"] = (await scanned(client, f"{prefix}jobs"))[0]
        (claimed,) = await plane.queue.claim(agent_id="agent-1", pool_name="linux")
        found["job, claimed"] = (await scanned(client, f"{prefix}jobs"))[0]
        await plane.queue.complete(await plane.queue.start(claimed), Outcome.success())
        found["job, ended"] = (await scanned(client, f"{prefix}jobs"))[0]
        await plane.pools.put(PoolSpec(pool_name="linux"))
        await plane.deployments.create(DeploymentSpec(service_name="shop", version="1.2.3"))
        await plane.sessions.create("ada")
        for name in ("lanes", "agents", "agent-pools", "deployments", "sessions"):
            found[name] = (await scanned(client, prefix + name))[0]
        for _ in range(JOBS):
            job = await plane.queue.enqueue(spec)
            await plane.jobs.reprioritise(job.job_id, Priority.LOW)
            (claimed,) = await plane.queue.claim(agent_id="agent-1", pool_name="linux")
            await plane.queue.complete(await plane.queue.start(claimed), Outcome.success())
            await plane.store.counters("none|")
        for each in await scanned(client, prefix + JOURNAL.name):
            found.setdefault(kind_of_journal(each), each)
        versions = await write(samples, item("a"), events=[event_of("a")])
        await remove(samples, "a", versions["a"])
        gone = await scanned(client, f"{prefix}more-items")
        found["deleted"] = next(each for each in gone if each["K"]["S"] == "|a")
    return found


@pytest.mark.thorough
def test_the_page_shows_an_example_of_every_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "FOLD", FOLDED)
    minutes = count(0.0, 2 * EVERY)
    monkeypatch.setattr(log_leader, "monotonic_seconds", lambda: next(minutes))
    prefix = "items-"
    endpoint = running(engines()[-1]).endpoint
    url = (
        f"dynamodb://?prefix={prefix}&region=us-east-1&endpoint={endpoint}&create_tables=true"
        "&log_shards=1&timeout=30&connect_timeout=30"
    )
    found = {name: shape_of(item) for name, item in anyio.run(written, url).items()}
    assert found == examples()


@pytest.mark.parametrize("name", [each.name for each in COLLECTIONS])
def test_the_page_tells_of_every_table(name: str) -> None:
    assert f"`ci-{name}`" in PAGE.read_text(encoding="utf-8")
