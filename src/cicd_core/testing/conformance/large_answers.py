"""Answers of several megabytes: complete, however large their records and events are."""

from __future__ import annotations

from hashlib import shake_256
from typing import TYPE_CHECKING, Final

import pytest

from cicd_core.store.records import MAX_RECORD_BYTES, Query
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    READY,
    claim,
    event_of,
    in_lane,
    item,
    numbers_in,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness

#: Together 2.25 MiB: servers often cut an answer at 1 MB.
KEYS: Final = "abcdef"


class LargeAnswerPromises(Suite):
    """Six of the largest records, and six of the largest events."""

    @pytest.fixture
    async def bodies(self, store: Store, harness: StoreHarness) -> dict[str, bytes]:
        """The bodies of six items in one lane, by key; each item's event has the same body."""
        # Bytes that no store can compress.
        bodies = {key: shake_256(key.encode()).digest(MAX_RECORD_BYTES) for key in KEYS}
        for key, body in bodies.items():
            await write(store, item(key, body=body), events=[event_of(key, body=body)])
        await harness.settle()
        return bodies

    async def test_large_records_are_read_completely(
        self, store: Store, bodies: dict[str, bytes]
    ) -> None:
        found = await store.get("items", list(KEYS))
        assert {key: record.body for key, record in found.items()} == bodies
        assert await numbers_in(store, in_lane()) == [len(KEYS)]
        for descending in (False, True):
            assert await all_keys(store, descending=descending) == KEYS[:: -1 if descending else 1]

    async def test_a_claim_of_large_records_is_answered_completely(
        self, store: Store, bodies: dict[str, bytes]
    ) -> None:
        mine = claim(len(KEYS))
        for records in (await store.claim(mine), await store.claim(mine)):
            assert {record.key: record.body for record in records} == bodies

    async def test_large_events_are_read_completely(
        self, store: Store, bodies: dict[str, bytes]
    ) -> None:
        assert {entry.key: entry.body for entry in await whole_log(store)} == bodies


async def all_keys(store: Store, *, descending: bool) -> str:
    """Return the keys of the lane, read page by page; a page is short only if it says so."""
    keys, bound = "", None
    while True:
        bounds = {"before" if descending else "after": bound}
        query = Query(partition=in_lane(), limit=100, descending=descending, **bounds)
        page = await store.page(query)
        keys += "".join(record.key for record in page.records)
        if not page.more:
            return keys
        assert page.resume is not None, "a page ended before its limit, and did not say where"
        bound = page.end(READY)
