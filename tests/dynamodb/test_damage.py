"""An item that does not decode is named, and stops neither lists, claims nor renewals."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec, Settings
from cicd_core.entities import COLLECTIONS as JOBS_AND_MORE
from cicd_core.errors import CorruptRecord
from cicd_core.model.instants import from_micros
from cicd_core.store.records import Query, Renewal
from cicd_core.testing.samples import ITEMS, SECOND, claim, find, in_state, item, write
from tests.dynamodb.faults import faulty_client
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.store.contract import Store
    from tests.dynamodb.faults import Faults
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio

#: By what it does: the attribute, and what stands there; None: it is gone.
DAMAGES: Final[dict[str, tuple[str, dict[str, Any] | None]]] = {
    "a body of a newer format": ("D", {"B": b"\2newer"}),
    "a body cut off": ("D", {"B": b"\1"}),
    "a body that is a text": ("D", {"S": "text"}),
    "no body": ("D", None),
    "no commit": ("C", None),
    "a commit version that is a text": ("G", {"S": "one"}),
    "a version that is a text": ("V", {"S": "one"}),
    "an expiry that is a text": ("X", {"S": "never"}),
    "a lease limit that is a text": ("HM", {"S": "long"}),
    "a lease without an end": ("H", {"S": "a" * 32}),
}
of_each_kind = pytest.mark.parametrize("damage", list(DAMAGES.values()), ids=list(DAMAGES))


@pytest.fixture
async def client(dynamodb: DynamoDBHarness) -> AsyncGenerator[Faults, None]:
    async with faulty_client(dynamodb) as client:
        yield client


@pytest.fixture
async def store(
    dynamodb: DynamoDBHarness, namespace: str, client: Faults
) -> AsyncGenerator[Store, None]:
    """A store with three records in a lane, of which ``bad`` is the first."""
    async with dynamodb.open(namespace, client=client) as store:
        await write(store, item("bad", rank="1"), item("good", rank="2"), item("third", rank="3"))
        yield store


async def spoil(client: Faults, namespace: str, damage: tuple[str, dict[str, Any] | None]) -> None:
    name, value = damage
    words: dict[str, Any] = {"ExpressionAttributeNames": {"#a": name}}
    if value is None:
        words["UpdateExpression"] = "REMOVE #a"
    else:
        words["UpdateExpression"] = "SET #a = :v"
        words["ExpressionAttributeValues"] = {":v": value}
    key = {"K": {"S": f"{namespace}|bad"}}
    await client.client.update_item(TableName="suite-items", Key=key, **words)


@of_each_kind
async def test_an_item_that_does_not_decode_stops_neither_lists_nor_claims(
    store: Store, client: Faults, namespace: str, damage: tuple[str, dict[str, Any] | None]
) -> None:
    await spoil(client, namespace, damage)
    with pytest.raises(CorruptRecord) as caught:
        await find(store, "bad")
    assert (caught.value.collection, caught.value.key) == (ITEMS.name, "bad")
    page = await store.page(Query(partition=in_state("new"), limit=10))
    assert [each.key for each in page.records] == ["good", "third"]
    taken: set[str] = set()
    for _ in range(3):
        taken |= {each.key for each in await store.claim(claim(2))}
    assert taken >= {"good", "third"}  # a claim replaces a lease, so it repairs one


@pytest.mark.thorough
@of_each_kind
async def test_an_item_that_does_not_decode_stops_no_renewal_of_another_one(
    store: Store, client: Faults, namespace: str, damage: tuple[str, dict[str, Any] | None]
) -> None:
    one = claim(3)
    assert len(await store.claim(one)) == 3
    await spoil(client, namespace, damage)
    renewals = [
        Renewal(collection=ITEMS.name, key=key, claim_id=one.claim_id, duration=60 * SECOND)
        for key in ("bad", "good", "third")
    ]
    _, *others = await store.renew(renewals)
    assert None not in others
    assert {each.key for each in await store.claim(one)} >= {"good", "third"}


@pytest.mark.parametrize("kind", ["leased", "delayed"])
async def test_lists_and_sweeps_name_an_item_that_does_not_decode(
    dynamodb: DynamoDBHarness, namespace: str, client: Faults, kind: str
) -> None:
    async with dynamodb.open(namespace, JOBS_AND_MORE, client=client) as store:
        plane = ControlPlane(store, settings=Settings(lease_seconds=1.0))
        now = from_micros((await store.now()).calendar)
        run_at = now + timedelta(seconds=1) if kind == "delayed" else None
        specs = [JobSpec(job_type="build", run_at=run_at)] * 3
        bad, *others = [job.job_id for job in await plane.queue.enqueue_many(specs)]
        if kind == "leased":
            await plane.queue.claim(agent_id="a-1", limit=3, start=True)
        await client.client.update_item(
            TableName="suite-jobs",
            Key={"K": {"S": f"{namespace}|{bad}"}},
            UpdateExpression="SET D = :v",
            ExpressionAttributeValues={":v": {"B": b"\2newer"}},
        )
        for limit in (1, 2, 50):
            named: list[str] = []
            shown: list[str] = []
            cursor: str | None = None
            while True:
                page = await plane.jobs.list(limit=limit, cursor=cursor)
                shown += [job.job_id for job in page.items]
                named += page.unreadable
                cursor = page.cursor
                if cursor is None:
                    break
            assert (sorted(shown), named) == (sorted(others), [bad])
        done = 0
        with anyio.fail_after(PATIENCE):
            while done < len(others):
                report = await plane.maintenance.sweep()
                done += report.requeued + (report.promoted if kind == "delayed" else 0)
                await anyio.sleep(0.05)
        for _ in range(2):
            assert (await plane.maintenance.sweep()).unreadable == (("jobs", bad),)
