"""Workers die and servers are disturbed: nothing acknowledged is lost, repeated or owned twice.

The long runs are those of ``python -m tests.redis.storms``.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from cicd_core.store.records import Committed, Query
from cicd_core.testing.crash import LabPlan
from cicd_core.testing.samples import apply, commit, event_of, in_lane, item
from tests.patience import PATIENCE
from tests.redis.scenes import SCENES
from tests.redis.stores import ONE, insist, number_of_events, opened, sum_of_ones
from tests.redis.storms import storm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
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
    """Callers that write without end, and remember what the store answered."""

    def __init__(self, store: Store) -> None:
        """Write to one store."""
        self._store = store
        #: The version of each record that was acknowledged: they grow as the records are written.
        self.acknowledged: dict[str, int] = {}

    async def write_on(self, caller: int) -> None:
        """Write one record after the other, each until it is acknowledged."""
        number = 0
        while True:
            key = f"{caller}.{number:06}"
            number += 1
            one = commit(item(key), events=[event_of(key)], increments=[ONE])
            answer = await insist(partial(apply, self._store, one))
            assert isinstance(answer, Committed)
            (self.acknowledged[key],) = answer.versions.values()

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


def stretches(acknowledged: Mapping[str, int], there: set[str]) -> int:
    """Return how many times, in the order of their writing, one was lost after one that was not."""
    ordered = sorted(acknowledged, key=lambda key: acknowledged[key])
    return sum(before in there and key not in there for before, key in pairwise(ordered))


@pytest.mark.parametrize("durability", ["always", "everysec"])
async def test_a_server_that_is_killed_loses_no_more_than_its_mode_says_and_no_half_of_a_commit(
    durability: str, engine: Engine, start: Callable[..., Server]
) -> None:
    """With `everysec` it loses what it says that it has not yet written, which is the newest."""
    server = start(engine, appendonly=True, appendfsync=durability)
    unwritten: list[int] = []
    async with opened(server.url, durability=durability, call_timeout=PATIENCE) as store:
        crew = Crew(store)
        async with anyio.create_task_group() as tasks:
            for caller in range(16):
                tasks.start_soon(crew.write_on, caller)
            for _ in range(ROUNDS):
                await crew.has_written(COMMITS)
                if durability == "everysec":
                    unwritten.append(await to_thread.run_sync(server.hold))
                await to_thread.run_sync(server.kill)
                await to_thread.run_sync(server.start)
            await crew.has_written(COMMITS)
            tasks.cancel_scope.cancel()
        there = await keys_of(store)
        assert len(crew.acknowledged) > ROUNDS * COMMITS
        assert stretches(crew.acknowledged, there) <= sum(size > 0 for size in unwritten)
        assert await sum_of_ones(store) == await number_of_events(store) == len(there)
