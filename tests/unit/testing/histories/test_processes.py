"""Several processes work on one store, and what they saw is one history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.store.records import Record
from cicd_core.testing.histories import Workload, check_history
from cicd_core.testing.histories.processes import record_processes
from cicd_core.testing.workers.orders import KillPoint, Point

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db?synchronous=normal"


async def test_processes_see_what_the_others_write(url: str, tmp_path: Path) -> None:
    workload = Workload(seed=1, clients=3, calls=40)
    recording = await record_processes(url, workload, tmp_path, namespace="test")
    processes = {each.client.partition("-")[0] for each in recording.history.operations}
    assert processes == {"p0", "p1", "last"}
    seen = {
        (each.client[:2], each.result.body[:2])
        for each in recording.history.operations
        if isinstance(each.result, Record)
    }
    assert seen & {("p0", b"p1"), ("p1", b"p0")}
    assert check_history(recording.history, log=recording.log) == ()


async def test_a_process_that_dies_leaves_what_it_asked(url: str, tmp_path: Path) -> None:
    workload = Workload(seed=1, clients=6, calls=60, cancelled=0)
    kill_point = KillPoint(point=Point.ASKED, verb=None, countdown=40)
    recording = await record_processes(
        url, workload, tmp_path, namespace="test", kill_points=[kill_point]
    )
    unknown = [each for each in recording.history.operations if not each.is_known]
    assert unknown
    assert {each.client.partition("-")[0] for each in unknown} == {"p0"}
    assert check_history(recording.history, log=recording.log) == ()


async def test_a_worker_that_fails_tells_why(tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path}/nowhere/store.db"
    with pytest.raises(RuntimeError, match="InvalidInput"):
        await record_processes(nowhere, Workload(seed=1), tmp_path, namespace="test")
