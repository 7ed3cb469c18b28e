"""Of all control planes on the same data one sweeps; another one takes its place when it dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import ControlPlane, Settings, StoreUnavailable, open_store
from cicd_core.control_plane.leadership import Leadership, leadership_of
from cicd_core.ids import IdSource
from cicd_core.persistence.collections import COORDINATION
from cicd_core.persistence.context import Context
from tests.patience import PATIENCE
from tests.services.broken_stores import Relay

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anyio.abc import TaskGroup

    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Commit,
        Committed,
        Conflict,
        Query,
        Record,
        RecordPage,
        Renewal,
        Renewed,
    )
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

SETTINGS = Settings(sweep_seconds=0.01, commit_attempts=1)
LASTS = 15.0


class Watched(Relay):
    """One process's view of a store: counts what it asks, and can be cut off."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.is_cut = False
        self.pages = self.asked = 0
        self.swept = anyio.Event()

    async def page(self, query: Query) -> RecordPage:
        self._ask()
        self.pages += 1
        self.swept.set()
        return await super().page(query)

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        self._ask()
        return await super().get(collection, keys)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self._ask()
        return await super().commit(commits)

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        self._ask()
        return await super().renew(renewals)

    def _ask(self) -> None:
        if self.is_cut:
            raise StoreUnavailable("the cable is out")
        self.asked += 1

    async def sweeps(self) -> None:
        """Wait for a sweep that begins after this."""
        self.swept = anyio.Event()
        with anyio.fail_after(PATIENCE):
            await self.swept.wait()


def leadership(store: Store, settings: Settings = SETTINGS) -> Leadership:
    return Leadership(Context(store, IdSource(), settings), "sweeper")


async def started(tasks: TaskGroup, store: Watched) -> anyio.CancelScope:
    """Run maintenance over a store, and return what ends it."""
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope:
            await ControlPlane(store, settings=SETTINGS).maintenance.run()

    tasks.start_soon(run)
    return scope


@pytest.fixture
def crowd(store: Store) -> list[Watched]:
    return [Watched(store) for _ in range(4)]


async def test_one_of_many_sweeps_and_the_others_ask_once(
    crowd: list[Watched], clock: VirtualClock
) -> None:
    async with anyio.create_task_group() as tasks:
        await started(tasks, crowd[0])
        await crowd[0].sweeps()
        for each in crowd[1:]:
            await started(tasks, each)
        for _ in range(20):
            await crowd[0].sweeps()
        assert [each.pages for each in crowd[1:]] == [0, 0, 0]
        assert max(each.asked for each in crowd[1:]) <= 1
        tasks.cancel_scope.cancel()


async def test_the_place_of_one_that_died_is_taken_when_its_lease_has_run_out(
    store: Store, clock: VirtualClock
) -> None:
    dead, living = leadership(store), leadership(store)
    assert await dead.is_mine()
    assert not await living.is_mine()
    clock.advance(LASTS)  # a lease holds up to its last microsecond
    assert not await living.is_mine()
    clock.advance(LASTS)
    assert await living.is_mine()
    assert not await dead.is_mine()


async def test_one_that_renews_leads_on_and_the_others_read_rarely(
    store: Store, clock: VirtualClock
) -> None:
    leading, other = Watched(store), Watched(store)
    leader, follower = leadership(leading), leadership(other)
    assert await leader.is_mine()
    for _ in range(600):
        clock.advance(1)
        assert await leader.is_mine()
        assert not await follower.is_mine()
    assert leading.asked <= 2 + 600 / (LASTS / 3)
    # It reads when the lease would have ended, and up to as long after that.
    assert other.asked <= 2 + 600 / (LASTS - LASTS / 3 - 1)


async def test_one_that_lost_its_place_while_it_was_stopped_sweeps_no_more(
    store: Store, clock: VirtualClock
) -> None:
    stopped, other = leadership(store), leadership(store)
    assert await stopped.is_mine()
    clock.advance(2 * LASTS + 1)
    assert await other.is_mine()
    assert not await stopped.is_mine()


async def test_one_that_was_stopped_and_not_missed_leads_on(
    store: Store, clock: VirtualClock
) -> None:
    stopped = leadership(store)
    assert await stopped.is_mine()
    clock.advance(10 * LASTS)
    assert await stopped.is_mine()
    assert not await leadership(store).is_mine()


async def test_a_program_that_ends_leaves_its_place_to_the_next_one_at_once(
    crowd: list[Watched],
) -> None:
    first, second, *_ = crowd
    async with anyio.create_task_group() as tasks:
        scope = await started(tasks, first)
        await first.sweeps()
        scope.cancel()
    async with anyio.create_task_group() as tasks:
        await started(tasks, second)
        await second.sweeps()
        tasks.cancel_scope.cancel()


async def test_a_program_that_cannot_reach_the_store_ends_all_the_same(
    crowd: list[Watched],
) -> None:
    first, *_ = crowd
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            scope = await started(tasks, first)
            await first.sweeps()
            first.is_cut = True
            scope.cancel()


class Deaf(Relay):
    """A store whose answer to the first commit is lost."""

    lost = False

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        answers = await super().commit(commits)
        if not self.lost:
            self.lost = True
            raise StoreUnavailable("no answer came")
        return answers


async def test_one_whose_answer_was_lost_finds_that_it_leads(store: Store) -> None:
    stands = leadership(Deaf(store))
    with pytest.raises(StoreUnavailable):
        await stands.is_mine()
    assert await stands.is_mine()
    await stands.resign()
    assert await leadership(store).is_mine()


async def test_of_many_that_find_the_place_free_one_takes_it(
    store: Store, clock: VirtualClock
) -> None:
    for _ in range(5):
        many = [leadership(store) for _ in range(8)]
        answers: list[bool] = []

        async def ask(one: Leadership, answers: list[bool] = answers) -> None:
            answers.append(await one.is_mine())

        async with anyio.create_task_group() as tasks:
            for each in many:
                tasks.start_soon(ask, each)
        assert sorted(answers) == [False] * 7 + [True]
        clock.advance(LASTS + 1)


@pytest.mark.parametrize(
    ("lease", "heartbeat", "lasts"),
    [(30, 30, 15), (3600, 60, 15), (10, 30, 5), (30, 4, 2), (1, 1, 1)],
)
def test_a_leadership_lasts_half_as_long_as_what_it_looks_after(
    lease: float, heartbeat: float, lasts: float
) -> None:
    assert leadership_of(lease, heartbeat) == lasts


async def test_every_store_has_room_for_the_record(store_url: str) -> None:
    async with open_store(store_url, collections=(COORDINATION,)) as store:
        assert await leadership(store).is_mine()
