"""A record of the memory store that a test damages stays so, and is found by its key alone."""

from __future__ import annotations

import pytest

from cicd_core.errors import CorruptRecord
from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import VirtualClock
from cicd_core.testing.samples import (
    COLLECTIONS,
    apply,
    claim,
    commit,
    in_lane,
    item,
    keys_in,
    write,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend(COLLECTIONS, clock=VirtualClock())


async def test_there_must_be_a_record_to_damage(store: MemoryBackend) -> None:
    assert not store.damage("items", "a")
    await write(store, item("a"))
    assert store.damage("items", "a")


async def test_a_commit_of_a_damaged_record_is_refused(store: MemoryBackend) -> None:
    version = (await write(store, item("a")))["a"]
    store.damage("items", "a")
    with pytest.raises(CorruptRecord):
        await apply(store, commit(item("a", expected=version)))


async def test_a_claim_that_holds_a_damaged_record_alone_takes_no_other(
    store: MemoryBackend,
) -> None:
    await write(store, item("a", rank="1"), item("b", rank="2"))
    one = claim(1)
    assert [each.key for each in await store.claim(one)] == ["a"]
    store.damage("items", "a")
    assert await store.claim(one) == []
    assert await keys_in(store, in_lane()) == ["b"]
