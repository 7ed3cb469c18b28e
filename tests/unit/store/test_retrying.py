"""The store before every backend: what it checks, how often it asks, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane
from cicd_core.entities import COLLECTIONS as ENTITIES
from cicd_core.errors import InvalidInput, StoreClosed, StoreFull, StoreUnavailable
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Collection
from cicd_core.store.registry import open_store
from cicd_core.store.retrying import RetryingStore
from cicd_core.testing.conformance.cancellation import CALLS
from cicd_core.testing.samples import COLLECTIONS, commit, find, in_lane, item, watch, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cicd_core.store.records import Commit, Committed, Conflict, Watch

pytestmark = pytest.mark.anyio


class Failing(MemoryBackend):
    """Fails so often, by an error that is chosen, before it does what it is asked."""

    error: Exception = StoreUnavailable("busy")
    failures = 0
    asked = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error
        return await super().commit(commits)


class Interrupted(MemoryBackend):
    """Breaks off so many waits."""

    def __init__(self, failures: int) -> None:
        super().__init__(COLLECTIONS)
        self.failures = failures
        self.timeouts: list[float] = []

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        self.timeouts.append(timeout)
        if len(self.timeouts) <= self.failures:
            raise StoreUnavailable("disconnected")
        return False


class Looked(list[Any]):
    """A list that counts how often it is looked through."""

    times = 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return super().__iter__()


def at_once() -> float:
    """Return what makes pauses as short as they get."""
    return 0.0


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_call_is_made_as_often_as_the_attempts_say(attempts: int) -> None:
    backend = Failing(COLLECTIONS)
    backend.failures = 9
    store = RetryingStore(backend, attempts=attempts, jitter=at_once)
    with pytest.raises(StoreUnavailable):
        await store.commit([commit(item("a"))])
    assert backend.asked == attempts


async def test_a_failure_that_does_not_pass_is_not_tried_again() -> None:
    backend = Failing(COLLECTIONS)
    backend.failures, backend.error = 1, StoreFull("no room")
    store = RetryingStore(backend, attempts=9, jitter=at_once)
    with pytest.raises(StoreFull):
        await store.commit([commit(item("a"))])
    assert backend.asked == 1


async def test_a_store_that_is_closed_during_a_pause_is_not_asked_again() -> None:
    backend = Failing(COLLECTIONS)
    backend.failures = 2

    def close() -> float:
        backend.lifetime.end()
        return 0.0

    store = RetryingStore(backend, attempts=9, jitter=close)
    with pytest.raises(StoreClosed):
        await store.commit([commit(item("a"))])
    assert backend.asked == 1


async def test_a_wait_that_is_broken_off_waits_for_the_rest_alone() -> None:
    backend = Interrupted(2)
    store = RetryingStore(backend, attempts=3, jitter=at_once)
    assert not await store.wait([watch(in_lane())], 100.0)
    first, second, third = backend.timeouts
    assert 100.0 == first > second > third > 0.0


async def test_a_wait_whose_time_is_over_only_looks_again() -> None:
    backend = Interrupted(1)
    store = RetryingStore(backend, attempts=2, jitter=at_once)
    assert not await store.wait([watch(in_lane())], 0.001)  # the pause takes longer
    assert backend.timeouts == [0.001, 0.0]


async def test_a_list_of_commits_is_checked_once_however_often_it_is_sent() -> None:
    backend = Failing(COLLECTIONS)
    backend.failures = 2
    store = RetryingStore(backend, attempts=3, jitter=at_once)
    commits = Looked([commit(item("a")), commit(item("b"))])
    await store.commit(commits)
    assert backend.asked == 3
    assert commits.times == 2  # by the check, and by the backend that applied them
    assert await find(store, "b") is not None


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"now"}))  # which never waits
async def test_a_verb_awaits_the_backends_own_and_nothing_in_between(name: str) -> None:
    backend = MemoryBackend(COLLECTIONS)
    call: Any = CALLS[name](RetryingStore(backend, attempts=9), "a")
    call.send(None)
    assert call.cr_await.cr_code is getattr(MemoryBackend, name).__code__
    call.close()


async def test_a_wrapped_store_is_not_wrapped_again() -> None:
    async with open_store("memory://", collections=ENTITIES) as store:
        outer = RetryingStore(store, attempts=5)
        assert outer.backend is store.backend
        assert isinstance(store.backend, MemoryBackend)
        plane = ControlPlane(store)
        assert plane.store.backend is store.backend
        assert plane.store.attempts == plane.settings.commit_attempts


async def test_a_control_plane_checks_a_backend_that_it_is_given() -> None:
    plane = ControlPlane(MemoryBackend(ENTITIES))
    with pytest.raises(InvalidInput, match="a commit writes at least one record"):
        await plane.store.commit([commit()])


@pytest.mark.parametrize(
    "scheme", ["memory", pytest.param("sqlite", marks=pytest.mark.asyncio_only)]
)
async def test_a_closed_store_says_which_it_was_to_all_that_stand_before_it(
    scheme: str, tmp_path: Path
) -> None:
    url, named = "memory://", "this memory store"
    if scheme == "sqlite":
        url, named = f"sqlite:///{tmp_path}/a.db", f"the store on '{tmp_path}/a.db'"
    async with open_store(url, collections=COLLECTIONS) as store:
        other = RetryingStore(store, attempts=3)
        async with store.sibling() as sibling:
            await write(sibling, item("a"))
        with pytest.raises(StoreClosed):
            await sibling.now()
        assert await find(other, "a") is not None
    for closed in (store, other):
        with pytest.raises(StoreClosed) as refused:
            await closed.now()
        assert str(refused.value) == (f"{named} is closed: open it again; this call wrote nothing")


def test_collections_that_no_store_can_keep_are_refused_before_anything_is_opened(
    tmp_path: Path,
) -> None:
    twice = [Collection(name="same", indexes=()), Collection(name="same", indexes=())]
    with pytest.raises(InvalidInput, match="give each name only once"):
        open_store(f"sqlite:///{tmp_path}/a.db", collections=twice)
    with pytest.raises(InvalidInput, match="give each name only once"):
        RetryingStore(MemoryBackend(twice))
    assert list(tmp_path.iterdir()) == []
