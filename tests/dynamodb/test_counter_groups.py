"""A group of counters may have any number of names: it is split over items, and stays whole."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicd_core.ids import IdSource
from cicd_core.increments import Increment
from cicd_core.store.records import Committed
from cicd_core.testing.samples import commit, item
from cicd_core_dynamodb import counter_groups, counters
from cicd_core_dynamodb.costs import item_bytes
from cicd_core_dynamodb.counter_groups import Group, Part
from tests.dynamodb.faults import faulty_client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.store.contract import Store
    from tests.dynamodb.faults import Faults
    from tests.dynamodb.harness import DynamoDBHarness

#: An item of DynamoDB has 400 KB at most.
MOST: Final = 400 * 1024
GROUP: Final = "repo"
names = st.integers(0, 60).map(lambda number: f"{GROUP}|name-{number}")


class Items:
    """The items of a group, written under the condition that each goes further than before."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}

    def group(self) -> Group:
        return Group(GROUP, dict(self.parts))

    def put(self, path: str, part: Part) -> None:
        if path not in self.parts or self.parts[path].up_to < part.up_to:
            self.parts[path] = part


def read(group: Group, tail: Mapping[int, list[tuple[str, int]]]) -> Counter[str]:
    """Return the sums up to the end of the log, as they are read."""
    totals = Counter(dict(group.sums()))
    for at, increments in tail.items():
        for name, amount in increments:
            if at > group.position_of(counter_groups.rest_of(name))[1].up_to:
                totals[name] += amount
    return totals


@given(data=st.data())
@settings(max_examples=60)
def test_sums_are_whole_whoever_folds_how_far_and_wherever_one_dies(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counter_groups, "MOST_BYTES", 4 * 40)
        log = data.draw(st.lists(st.lists(names, max_size=8), min_size=1, max_size=30))
        tail = {at: [(name, 1) for name in some] for at, some in enumerate(log, start=1)}
        expected = Counter(name for some in log for name in some)
        kept = Items()
        seen = [kept.group()]
        for _ in range(data.draw(st.integers(1, 8))):
            # One that read the items long ago, and may know little of the log, folds now.
            group = data.draw(st.sampled_from(seen))
            head = data.draw(st.integers(1, len(log)))
            known = {at: some for at, some in tail.items() if at <= head}
            writes = list(group.folded(known, head).items())
            for path, part in writes[: data.draw(st.integers(0, len(writes)))]:
                kept.put(path, part)
                assert read(kept.group(), tail) == expected
            seen.append(kept.group())


def test_a_group_that_is_too_large_is_split_and_written_from_the_bottom_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counter_groups, "MOST_BYTES", 200)
    tail = {1: [(f"{GROUP}|{number:03}", 1) for number in range(200)]}
    written = Group(GROUP).folded(tail, 1)
    paths = list(written)
    assert paths[-1] == ""
    for path, part in written.items():
        if part.is_split:
            below = [each for each in paths if len(each) == len(path) + 1 and each.startswith(path)]
            assert below
            assert all(paths.index(each) < paths.index(path) for each in below)
        else:
            assert sum(len(rest) + 24 for rest in part.sums) <= 200
    # Only those parts are written again that something was added to.
    group = Group(GROUP, written)
    (path,) = group.folded({2: [(f"{GROUP}|007", 1)]}, 2)
    assert path == group.position_of("|007")[0]


async def counted(store: Store, prefix: str) -> dict[str, int]:
    return dict((await store.counters(prefix)).values)


async def items_of(client: Faults, namespace: str) -> list[dict[str, Any]]:
    """Return the items of the counters of a namespace."""
    found: list[dict[str, Any]] = []
    async for page in client.client.get_paginator("scan").paginate(TableName="suite-journal"):
        found += [each for each in page["Items"] if each["P"]["S"].startswith(f"{namespace}|c|")]
    return found


@pytest.mark.thorough
@pytest.mark.anyio
async def test_a_group_of_megabytes_breaks_no_counters(
    dynamodb: DynamoDBHarness, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counters, "FOLD", 1)
    ids = IdSource(seed=1)

    def name(number: int) -> str:
        # 900 bytes of which no two are alike, so that nothing is deflated.
        return f"{GROUP}|{number:06}{''.join(ids.claim_id() for _ in range(28))}"

    expected: Counter[str] = Counter()
    async with (
        faulty_client(dynamodb) as client,
        dynamodb.open(namespace, client=client) as store,
        dynamodb.open(namespace) as other,
    ):
        known = [name(number) for number in range(1200)]
        for first in range(0, len(known), 300):
            some = [
                *known[first : first + 300],
                "other|n",
                f"{GROUP}|x|deep",
                f"{GROUP}|x|3|deeper",
            ]
            increments = [Increment(each, 2) for each in some]
            key = f"k{first}"
            (answer,) = await store.commit([commit(item(key), increments=increments)])
            assert isinstance(answer, Committed)
            expected.update(dict.fromkeys(some, 2))
            await (store, other)[first // 300 % 2].counters("none|")
        sizes = [item_bytes(each) for each in await items_of(client, namespace)]
        assert max(sizes) < MOST / 2
        again = [Increment(each, 5) for each in known[::400]]
        (answer,) = await other.commit([commit(item("again"), increments=again)])
        assert isinstance(answer, Committed)
        expected.update({each.name: each.amount for each in again})
        async with dynamodb.open(namespace) as late:
            for each in (store, other, late):
                for prefix in ("", "other|", f"{GROUP}|", f"{GROUP}|x|", known[400], "none|"):
                    assert await counted(each, prefix) == {
                        name: amount for name, amount in expected.items() if name.startswith(prefix)
                    }


@pytest.mark.anyio
async def test_a_commit_with_more_names_than_an_item_holds_is_counted_whole(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    ids = IdSource(seed=2)
    some = [f"{GROUP}|{''.join(ids.claim_id() for _ in range(28))}" for _ in range(800)]
    async with dynamodb.open(namespace) as store:
        (answer,) = await store.commit(
            [commit(item("a"), increments=[Increment(each, 1) for each in some])]
        )
        assert isinstance(answer, Committed)
        assert await counted(store, "") == dict.fromkeys(some, 1)
