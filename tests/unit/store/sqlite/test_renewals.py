"""The attribute that follows the lease moves on with it, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.records import KEEP, Renewal
from cicd_core.testing import VirtualClock
from cicd_core.testing.samples import SECOND, claim, item, read, write
from tests.unit.store.sqlite.files import opened

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.sqlite import SQLiteBackend

pytestmark = pytest.mark.anyio

HELD = {"lane": None, "timer": "held"}


async def renew(store: SQLiteBackend, claim_id: str, seconds: int = 60) -> None:
    renewal = Renewal(collection="items", key="a", claim_id=claim_id, duration=seconds * SECOND)
    assert await store.renew([renewal]) != [None]


async def test_a_renewal_moves_on_what_sorts_by_the_lease(path: Path) -> None:
    clock = VirtualClock()
    async with opened(path, clock=clock) as store:
        await write(store, item("a"))
        one = claim(patch=HELD)
        await store.claim(one)
        await renew(store, one.claim_id)
        due = f"{clock.micros() + 60 * SECOND:016d}:a"
        assert (await read(store, "a")).attributes["due"] == due


async def test_a_renewal_leaves_what_is_due_for_another_reason(path: Path) -> None:
    async with opened(path, clock=VirtualClock()) as store:
        await write(store, item("a"))
        one = claim(patch=HELD)
        ((record),) = await store.claim(one)
        attributes = {**record.attributes, "due": "1:a"}
        put = item("a", lane=None, expected=record.version, lease=KEEP, attributes=attributes)
        await write(store, put)
        await renew(store, one.claim_id)
        assert (await read(store, "a")).attributes["due"] == "1:a"


async def test_a_renewal_that_moves_nothing_writes_nothing(path: Path) -> None:
    async with opened(path, clock=VirtualClock()) as store:
        await write(store, item("a"))
        one = claim(patch=HELD)
        await store.claim(one)
        before = await store.writes.call(lambda connection: connection.total_changes)
        await renew(store, one.claim_id, seconds=1)
        after = await store.writes.call(lambda connection: connection.total_changes)
        assert after == before
