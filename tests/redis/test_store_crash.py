"""Workers die and servers are disturbed: nothing acknowledged is lost, repeated or owned twice.

The long runs are those of ``python -m tests.redis.storms``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from cicd_core.clock import monotonic_seconds
from cicd_core.store.records import Committed, Query
from cicd_core.testing.crash import LabPlan
from cicd_core.testing.samples import apply, commit, in_lane, item, told
from tests.patience import PATIENCE
from tests.redis.scenes import SCENES
from tests.redis.stores import ONE, insist, number_of_events, opened, sum_of_ones
from tests.redis.storms import storm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cicd_core.store.contract import Store
    from tests.redis.engines import Engine, Server

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.timeout(600)]

#: How many workers a storm kills at least: those of one server take turns more quickly.
KILLS: Final = {
    "always": 60,
    "everysec": 60,
    "sentinels": 40,
    "cluster": 40,
    "settings": 25,
    "rights": 25,
    "full": 25,
}
#: What a server that writes to its disk every second may have in its hands alone, in seconds: it
#: waits for one more while the disk is slow. What it has written stays while the machine lives.
HELD_BACK: Final = {"always": 0.0, "everysec": 2.0}
#: How often the server is killed, and how many commits are acknowledged in between.
ROUNDS: Final = 8
COMMITS: Final = 300


@pytest.mark.parametrize("name", SCENES)
def test_a_storm_in_which_servers_are_disturbed_too_loses_nothing(
    name: str, engine: Engine, tmp_path: Path
) -> None:
    with SCENES[name](engine) as scene:
        plan = LabPlan(
            store=scene.url, folder=tmp_path, seed=1, kills=KILLS[name], minutes=8.0, workers=3
        )
        report, times = storm(scene, plan)
    assert report.violations == {}
    assert report.kills >= KILLS[name]
    assert report.operations > 100
    assert times >= 3


class Crew:
    """Callers that write without end, and remember when each write was acknowledged."""

    def __init__(self, store: Store) -> None:
        """Write to one store."""
        self._store = store
        self.acknowledged: dict[str, float] = {}

    async def write_on(self, caller: int) -> None:
        """Write one record after the other, each until it is acknowledged."""
        number = 0
        while True:
            key = f"{caller}.{number:06}"
            number += 1
            one = commit(item(key), events=[told(key)], increments=[ONE])
            assert isinstance(await insist(partial(apply, self._store, one)), Committed)
            self.acknowledged[key] = monotonic_seconds()

    async def has_written(self, more: int) -> None:
        """Return when so many more writes were acknowledged."""
        enough = len(self.acknowledged) + more
        while len(self.acknowledged) < enough:
            await anyio.lowlevel.checkpoint()


async def keys_of(store: Store) -> set[str]:
    """Return the keys of all records in the lane."""
    found: set[str] = set()
    after: str | None = None
    while True:
        page = await store.page(Query(partition=in_lane(), limit=500, after=after))
        found.update(record.key for record in page.records)
        if not page.more:
            return found
        after = page.records[-1].attributes["rank"]


@pytest.mark.parametrize("durability", HELD_BACK)
async def test_a_server_that_is_killed_loses_no_more_than_its_mode_says_and_no_half_of_a_commit(
    durability: str, engine: Engine, start: Callable[..., Server]
) -> None:
    server = start(engine, appendonly=True, appendfsync=durability)
    ended: list[float] = []
    async with opened(server.url, durability=durability, call_timeout=PATIENCE) as store:
        crew = Crew(store)
        async with anyio.create_task_group() as tasks:
            for caller in range(16):
                tasks.start_soon(crew.write_on, caller)
            for _ in range(ROUNDS):
                await crew.has_written(COMMITS)
                await to_thread.run_sync(server.kill)
                ended.append(monotonic_seconds())
                await to_thread.run_sync(server.start)
            await crew.has_written(COMMITS)
            tasks.cancel_scope.cancel()
        there = await keys_of(store)
        lost = [when for key, when in crew.acknowledged.items() if key not in there]
        assert len(crew.acknowledged) > ROUNDS * COMMITS
        assert all(
            any(0.0 < end - when < HELD_BACK[durability] for end in ended) for when in lost
        ), f"{len(lost)} were lost"
        assert await sum_of_ones(store) == await number_of_events(store) == len(there)
