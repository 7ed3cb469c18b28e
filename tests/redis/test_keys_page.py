"""The page of the keys shows an example of every kind that the store writes, and no other."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from cicd_core import (
    AgentSpec,
    ControlPlane,
    DeploymentSpec,
    JobSpec,
    Outcome,
    PoolSpec,
    RetryPolicy,
)
from cicd_core.entities import COLLECTIONS
from cicd_core.persistence.collections import SESSIONS
from cicd_core.store.records import EventWrite, Put
from cicd_core.store.registry import open_store
from cicd_core.testing.samples import IDS, write
from tests.redis.sentinels import open_replicated
from tests.redis.stored_records import split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "redis-keys.md"
PREFIX: Final = "cicd:{team-a}:"
#: What differs from one example to another, and how a shape calls it.
VARYING: Final = [
    (r"[0-9A-HJKMNP-TV-Z]{26}", "ID"),
    (r"[0-9a-f]{24,64}", "HEX"),
    (r"\d{16,17}", "TIME"),
    (r"\d{13}-\d+", "ENTRY"),
    (r"/\d{8}", "/DAY"),
    (r"\|\d{4}\|", "|QUARTER|"),
    (r"\|b\d+$", "|BUCKET"),
]

#: An event that nobody reads.
FORGOTTEN: Final = b'["forgotten",0,{}]'
#: How an event stands in the stream.
FIELD: Final = re.compile(r"[a-z-]+:\d{16}:\d+:.+|\d+:\d+")
#: A key as the page and the test write it: its type, and what it holds.
Entry = dict[str, Any]


# ------------------------------------------------------------------------ what the store writes


async def forget(url: str, server: Server) -> None:
    """Let the retention of a record and of an event end."""
    async with open_store(url, log_retention=0.0, collections=COLLECTIONS) as store:
        while None in server.ask("HMGET", f"{PREFIX}meta", "dropped", "floor"):
            now = (await store.now()).micros
            key = IDS.commit_id()
            attributes = {"user_id": "ada", "created_at": f"{now}:{key}"}
            told = EventWrite(
                collection=SESSIONS.name, key=key, version=None, ordinal=0, body=FORGOTTEN
            )
            gone = Put(
                collection=SESSIONS.name,
                key=key,
                expected=0,
                body=b"",
                attributes=attributes,
                expires_at=now,
            )
            await write(store, gone, events=[told])


async def use(plane: ControlPlane) -> None:
    """Leave a job in each state that has keys of its own, and one of everything else."""
    queue = plane.queue
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    words: dict[str, Any] = {
        "job_type": "build",
        "pool_name": "linux",
        "payload": {"script": "make test"},
    }
    agent: dict[str, Any] = {"agent_id": "agent-1", "pool_name": "linux"}
    await plane.agents.register(AgentSpec(**agent))
    await queue.enqueue(JobSpec(**words))
    (claimed,) = await queue.claim(**agent)
    await queue.complete(await queue.start(claimed), Outcome.success())
    await queue.enqueue(JobSpec(**words, retry=RetryPolicy(max_attempts=1)))
    (claimed,) = await queue.claim(**agent)
    await queue.complete(await queue.start(claimed), Outcome.error("the disk is full"))
    await queue.enqueue(JobSpec(**words))
    await queue.claim(**agent)
    await queue.enqueue(JobSpec(**words, run_at=tomorrow))
    await queue.enqueue(JobSpec(**words, deadline_at=tomorrow))
    await queue.enqueue(JobSpec(**words))
    await plane.pools.put(PoolSpec(pool_name="linux"))
    await plane.deployments.create(DeploymentSpec(service_name="shop", version="1.2.3"))
    await plane.sessions.create("ada")


def entry(client: Any, key: bytes) -> Entry:
    """Return what a key holds, as the page writes it."""
    kind = client.type(key).decode()
    if kind == "string":
        return {kind: record(client, key)}
    if kind == "hash":
        return {kind: texts(client.hgetall(key))}
    if kind == "zset":
        return {
            kind: {
                name.decode(): int(at) for name, at in client.zrange(key, 0, -1, withscores=True)
            }
        }
    if kind == "set":
        return {kind: sorted(name.decode() for name in client.smembers(key))}
    return {kind: {at.decode(): bodies(fields) for at, fields in client.xrange(key)}}


def texts(found: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in found.items()}


def bodies(found: Mapping[bytes, bytes]) -> dict[str, Any]:
    return {name.decode(): json.loads(value) for name, value in found.items()}


def record(client: Any, key: bytes) -> dict[str, Any]:
    """Return a record, its header decoded by the command that the page gives."""
    number, version, claims, commit_id, *rest = client.eval(command_of_the_page(), 1, key)
    decoded = [each.decode() if isinstance(each, bytes) else each for each in rest]
    body, _ = split(client.get(key))
    return {
        "body": json.loads(body),
        "header": [number, version, claims, commit_id.hex(), *decoded],
    }


def command_of_the_page() -> str:
    """Return the script by which the page lets one look at a header."""
    found = re.search(r'EVAL "([^"]+)" 1 ', PAGE.read_text("utf-8"))
    assert found
    return found[1]


async def written() -> dict[str, Entry]:
    """Return every key that a store leaves which was used for everything."""
    with open_replicated(appendonly=True) as servers:
        server = servers.primary
        url = f"{server.url}?namespace=team-a"
        await forget(url, server)
        async with ControlPlane.open(f"{url}&durability=replicated", maintenance=False) as plane:
            await use(plane)
        with server.client() as client:
            client.connection_pool.connection_kwargs["decode_responses"] = False
            return {key.decode(): entry(client, key) for key in client.scan_iter()}


# ----------------------------------------------------------------------------- what the page has


def examples() -> dict[str, Entry]:
    """Return the keys of the page."""
    found: dict[str, Entry] = {}
    for block in re.findall(r"```json\n(.*?)\n```", PAGE.read_text("utf-8"), re.DOTALL):
        found |= json.loads(block)
    return found


def general(text: str) -> str:
    """Return a text without what differs from one example to another."""
    for pattern, name in VARYING:
        text = re.sub(pattern, name, text)
    return text


def kind_of(key: str) -> str:
    """Return what stands before that which names one thing of many."""
    name = key.removeprefix(PREFIX)
    parts = {"r": 2, "h": 2, "i": 4}.get(name.partition(":")[0], 1)
    return re.sub(r"/\d{8}", "/DAY", ":".join(name.split(":")[:parts]))


def shapes_of(key: str, entry: Entry) -> set[str]:
    """Return what a key has in common with others of its kind; the page may leave bodies out."""
    ((kind, held),) = entry.items()
    name = f"{general(key.removeprefix(PREFIX))} {kind}"
    if kind == "zset":
        return {f"{name} {sorted({(general(each), at > 0) for each, at in held.items()})}"}
    if kind == "set":
        return {f"{name} {sorted(map(general, held))}"}
    if kind == "stream":
        told = {
            tuple(type(part).__name__ for part in body)
            for fields in held.values()
            for body in fields.values()
        }
        return {f"{name} {sorted(told)} {all(FIELD.fullmatch(each) for each in told_in(held))}"}
    if not key.startswith(f"{PREFIX}r:"):
        values = {each: "" if name.startswith("n:") else held[each] for each in held}
        return {f"{name} {sorted({(general(each), general(it)) for each, it in values.items()})}"}
    header = [
        general(each) if isinstance(each, str) else str(type(each)) for each in held["header"]
    ]
    return {f"{name} {header}", f"{name} {header} {sorted(held.get('body', ()))}"}


def told_in(stream: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of all fields of a stream."""
    return [name for fields in stream.values() for name in fields]


async def test_the_page_shows_an_example_of_every_key_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cicd_core_redis.store._SWEEP_PERIOD", 0.0)
    found, shown = await written(), examples()
    assert {kind_of(key) for key in found} == {kind_of(key) for key in shown}
    known = {shape for key, entry in found.items() for shape in shapes_of(key, entry)}
    unknown = {
        key: shapes for key, entry in shown.items() if not (shapes := shapes_of(key, entry)) & known
    }
    assert unknown == {}


def test_the_page_names_the_attributes_of_each_collection_in_their_order() -> None:
    page = PAGE.read_text("utf-8")
    for each in COLLECTIONS:
        names = ", ".join(f"`{name}`" for name in each.attributes)
        assert f"| `{each.name}` | {names} |" in page


def test_every_key_of_the_page_begins_as_the_page_says() -> None:
    assert {key.startswith(PREFIX) for key in examples()} == {True}
