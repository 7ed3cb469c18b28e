"""A commit that stays undecided does no harm to what was journalled beside it in one list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from cicd_core.increments import Increment
from cicd_core.store.records import Commit, Committed, Conflict, Guard, Lease
from cicd_core.testing.samples import SECOND, commit, event_of, item, write
from cicd_core_dynamodb import sequencer
from cicd_core_dynamodb.infrastructure.rights import READER
from tests.dynamodb.faults import faulty_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.contract import Store
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio

HOUR: Final = 3600 * SECOND
FIRST, LAST, SEVERAL = (0,), (4,), (0, 2, 3)


async def held(store: Store, key: str) -> int:
    """Write a record that a long lease holds, and return its version."""
    now = (await store.now()).micros
    ends = now + HOUR
    lease = Lease(claim_id="a" * 32, granted=now, renewed=now, expires=ends, limit=ends)
    return (await write(store, item(key, lane=None, lease=lease)))[key]


async def list_with(store: Store, undecided: Sequence[int], number: int) -> list[Commit]:
    """Return five commits, of which some ask for a lease that has expired, and it has not."""
    some: list[Commit] = []
    for at in range(5):
        key = f"{number}-{at}"
        put = item(key)
        if at in undecided:
            version = await held(store, key)
            put = item(key, expected=version, guard=Guard.LEASE_EXPIRED)
        some.append(
            commit(put, events=[event_of(key)], increments=[Increment("g|n"), Increment("m")])
        )
    return some


async def test_the_log_is_written_on_by_what_every_role_may_see_of_a_record(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await write(store, item("a"), events=[event_of("a")])
        client.calls.clear()
        await store.read_log(None, 1)
        asked = [words["RequestItems"] for name, words in client.calls if name == "batch_get_item"]
        names = [table["ExpressionAttributeNames"] for one in asked for table in one.values()]
        assert names
        for each in names:
            assert set(each.values()) <= {
                name for right in READER.rights for name in right.attributes
            }


def let_time_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each look take all that it finds to be an hour old, and note how far it went."""
    monkeypatch.setattr(sequencer, "_LEFTOVERS", 0)
    monkeypatch.setattr(sequencer, "RIPE", -HOUR)
    monkeypatch.setattr(sequencer, "SETTLED", -HOUR)


@pytest.mark.parametrize("undecided", [FIRST, LAST, SEVERAL, range(5)], ids=str)
@pytest.mark.parametrize("lists", [1, 3])
async def test_an_undecided_member_of_a_list_leaves_its_neighbours_told_and_counted_once(
    dynamodb: DynamoDBHarness,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    undecided: Sequence[int],
    lists: int,
) -> None:
    applied: list[str] = []
    async with dynamodb.open(namespace) as store, dynamodb.open(namespace) as other:
        for number in range(lists):
            some = await list_with(store, undecided, number)
            answers = await store.commit(some)
            assert [at for at in range(5) if isinstance(answers[at], Conflict)] == [*undecided]
            applied += [
                one.events[0].key
                for one, answer in zip(some, answers, strict=True)
                if isinstance(answer, Committed)
            ]
        for turn in range(4):
            if turn == 1:
                let_time_pass(monkeypatch)
            await (store, other)[turn % 2].counters("none|")
        async with dynamodb.open(namespace) as late:
            for each in (store, other, late):
                # Read once: where neighbours come again, each look brings more of them.
                page = await each.read_log(None, 1000)
                assert sorted(entry.key for entry in page.entries) == sorted(applied)
                counted = dict((await each.counters("")).values)
                assert counted == ({"g|n": len(applied), "m": len(applied)} if applied else {})
