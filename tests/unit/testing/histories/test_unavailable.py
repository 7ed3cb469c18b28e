"""A store that is unavailable now and then leaves outcomes unknown, and is explained."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeVar

import pytest

from cicd_core.errors import StoreUnavailable
from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import VirtualClock
from cicd_core.testing.histories import UNKNOWN, Workload, check_history, record
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from cicd_core.store.records import Claim, Commit, Committed, Conflict, Record, Renewal, Renewed

Answer = TypeVar("Answer")

pytestmark = pytest.mark.anyio


class Unreliable(MemoryBackend):
    """Some of its calls fail, before they took effect or after it."""

    def __init__(self, seed: int) -> None:
        super().__init__(COLLECTIONS, clock=VirtualClock())
        self._random = Random(seed)
        self.failed = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        return await self._perhaps(super().commit, commits)

    async def claim(self, claim: Claim) -> list[Record]:
        return await self._perhaps(super().claim, claim)

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        return await self._perhaps(super().renew, renewals)

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        return await self._perhaps(super().get, collection, keys)

    async def _perhaps(self, verb: Callable[..., Awaitable[Answer]], *arguments: object) -> Answer:
        fate = self._random.random()
        if fate < 0.1:
            self._fail()
        answer = await verb(*arguments)
        if fate > 0.9:
            self._fail()
        return answer

    def _fail(self) -> None:
        self.failed += 1
        raise StoreUnavailable("the connection was lost: the outcome is unknown")


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("cancelled", [0.0, 0.2])
async def test_calls_that_fail_are_unknown_and_explained(seed: int, cancelled: float) -> None:
    store = Unreliable(seed)
    workload = Workload(seed=seed, clients=4, cancelled=cancelled)
    recording = await record(store, workload)
    assert store.failed > 10
    assert any(each.result is UNKNOWN for each in recording.history.operations)
    assert check_history(recording.history, log=recording.log, counted=recording.counted) == ()
