"""The cost of each verb is measured at two sizes, and growth is found by what is counted."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Query
from cicd_core.testing import StoreHarness
from cicd_core.testing.cost.__main__ import main
from cicd_core.testing.cost.measuring import Bounds, VerbCost
from cicd_core.testing.samples import COLLECTIONS
from tests.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection, Count, Partition, RecordPage

SMALL: Final = ["--small", "200", "--large", "1000", "--calls", "3"]
#: More than any call's median grows on a machine that does other things too.
NO_BOUND: Final = ["--bound", "1000000"]


class CountedHarness(StoreHarness):
    """Memory stores that count the rows which a page or a count looks at."""

    def __init__(self) -> None:
        self.rows = 0

    @asynccontextmanager
    async def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AsyncGenerator[Store, None]:
        yield self.store(collections)

    def store(self, collections: tuple[Collection, ...]) -> Store:
        return Counted(collections, self)

    def work(self) -> int | None:
        return self.rows


class Counted(MemoryBackend):
    """Its counts look at no row, its pages at those that they answer."""

    def __init__(self, collections: tuple[Collection, ...], harness: CountedHarness) -> None:
        super().__init__(collections)
        self.harness = harness

    async def page(self, query: Query) -> RecordPage:
        page = await super().page(query)
        self.harness.rows += len(page.records)
        return page


class WalkingHarness(CountedHarness):
    """Memory stores whose counts walk through their partitions."""

    def store(self, collections: tuple[Collection, ...]) -> Store:
        return Walking(collections, self)


class Walking(Counted):
    """Its counts look at each row."""

    async def count(self, partitions: Sequence[Partition]) -> list[Count]:
        for partition in partitions:
            await self.page(Query(partition=partition, limit=1000))
        return await super().count(partitions)


def cost(**numbers: float) -> VerbCost:
    return VerbCost(call="claim", **numbers)


@pytest.mark.parametrize(
    ("found", "grows"),
    [
        (cost(small_ms=1.0, large_ms=3.0), False),
        (cost(small_ms=1.0, large_ms=3.1), True),
        (cost(small_ms=0.01, large_ms=0.07), False),  # less than a timer's tick
        (cost(small_ms=1.0, large_ms=1.0, small_count=2, large_count=3), False),
        (cost(small_ms=1.0, large_ms=1.0, small_count=2, large_count=4), True),
        (cost(small_ms=1.0, large_ms=9.0, small_count=2, large_count=2), False),  # it is counted
        (cost(small_ms=1.0, large_ms=1.0, small_count=0, large_count=1), False),
        (cost(small_ms=1.0, large_ms=1.0, small_count=0, large_count=2), True),
    ],
)
def test_growth_is_what_is_over_the_bounds(found: VerbCost, grows: bool) -> None:
    assert found.grows(Bounds()) is grows


def test_every_verb_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", "memory://", *SMALL, *NO_BOUND, "--json"]) == 0
    output = capsys.readouterr()
    report = json.loads(output.out)
    assert (report["store"], report["small"], report["large"]) == ("memory://", 200, 1000)
    assert report["bounds"] == {"calls": 3, "time": 1_000_000.0, "count": 1.5}
    measured = {each["call"].split()[0] for each in report["calls"]}
    assert measured == {*VERBS} - {"sibling"}
    assert "1,000 of 1,000 records" in output.err


@pytest.mark.parametrize(
    ("harness", "code", "growing"),
    [("CountedHarness", 0, []), ("WalkingHarness", 1, ["count"])],
)
def test_a_call_that_looks_at_more_rows_where_there_are_more_grows(
    capsys: pytest.CaptureFixture[str], harness: str, code: int, growing: list[str]
) -> None:
    place = f"{__name__}:{harness}"
    assert main(["--harness", place, *SMALL, *NO_BOUND]) == code
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("GROWS")] == growing
    assert lines[-1].startswith("Medians of 3 calls each.")


def test_a_store_that_cannot_be_opened_is_told_apart_from_one_that_grows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--store", "nothing://here", *SMALL]) == 2
    assert "no store is registered for 'nothing://'" in capsys.readouterr().err


@pytest.mark.parametrize("size", ["0", "-1", "many", "100000000"])
def test_a_size_out_of_range_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--store", "memory://", "--large", size])
    assert "was refused: give 1 to 10,000,000" in capsys.readouterr().err
