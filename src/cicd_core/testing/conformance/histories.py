"""Records random concurrent histories of a store, and checks that some order explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from anyio import create_task_group

from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.harness import Capability
from cicd_core.testing.histories import Workload, assert_explained, check_history, record
from cicd_core.testing.histories.processes import record_processes
from cicd_core.testing.histories.workload import conclude, work
from cicd_core.testing.pytest_plugin import histories_of
from cicd_core.testing.recording.recording_store import Recorder
from cicd_core.testing.workers.orders import KillPoint, Point

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.testing.harness import StoreHarness
    from cicd_core.testing.histories import Recording

#: Minimum number of histories of several processes, unless a test records fewer in total.
_FEW: Final = 3


class HistoryConformance(Suite):
    """The view of many concurrent clients. ``pytest --cicd-histories N`` sets the effort.

    Each record is linearizable, with any cancellations and repetitions. If the store promises
    strict order, a whole queue is too, and one order fits all commits.
    """

    @pytest.fixture
    def store_url(self) -> str | None:
        """The URL by which other processes open the store; None: no other process can."""
        return None

    @pytest.fixture
    def histories(self, request: pytest.FixtureRequest) -> int:
        """Number of histories that a test records."""
        return histories_of(request.config)

    async def test_some_order_explains_what_clients_see_of_the_same_records(
        self, harness: StoreHarness, namespace: str, histories: int, tmp_path: Path
    ) -> None:
        for seed in range(histories):
            await check_one(harness, f"{namespace}-{seed}", Workload(seed=seed), tmp_path)

    async def test_some_order_explains_what_clients_see_of_a_queue(
        self, harness: StoreHarness, namespace: str, histories: int, tmp_path: Path
    ) -> None:
        for seed in range(histories):
            # One job per claim: then the check of the queue is exact.
            workload = Workload(seed=seed, clients=8, hot_records=0, claim_limit=1)
            await check_one(harness, f"{namespace}-{seed}", workload, tmp_path)

    async def test_some_order_explains_what_clients_see_whose_calls_are_cancelled(
        self, harness: StoreHarness, namespace: str, histories: int, tmp_path: Path
    ) -> None:
        for seed in range(histories):
            workload = Workload(seed=seed, clients=4, calls=20, cancelled=0.3)
            await check_one(harness, f"{namespace}-{seed}", workload, tmp_path)

    async def test_some_order_explains_what_clients_of_two_stores_on_the_same_data_see(
        self, harness: StoreHarness, namespace: str, histories: int, tmp_path: Path
    ) -> None:
        for seed in range(histories):
            workload, recorder = Workload(seed=seed, clients=3), Recorder()
            name = f"{namespace}-{seed}"
            async with harness.open(name) as one, harness.open(name) as other:
                async with create_task_group() as tasks:
                    tasks.start_soon(work, one, workload, recorder, "one-")
                    tasks.start_soon(work, other, workload, recorder, "other-")
                recording = await conclude(one, recorder.history(), harness.settle)
            check(recording, harness, tmp_path / f"history-{seed}.jsonl")

    async def test_some_order_explains_what_clients_in_several_processes_see(
        self,
        harness: StoreHarness,
        store_url: str | None,
        namespace: str,
        histories: int,
        tmp_path: Path,
    ) -> None:
        url = required(store_url)
        for seed in range(few(histories)):
            workload = Workload(seed=seed, clients=4)
            name = f"{namespace}-{seed}"
            recording = await record_processes(
                url, workload, tmp_path, namespace=name, settle=harness.settle
            )
            check(recording, harness, tmp_path / f"history-{seed}.jsonl")

    async def test_some_order_explains_what_clients_see_of_processes_that_die(
        self,
        harness: StoreHarness,
        store_url: str | None,
        namespace: str,
        histories: int,
        tmp_path: Path,
    ) -> None:
        url = required(store_url)
        for seed in range(few(histories)):
            name = f"{namespace}-{seed}"
            recording = await record_processes(
                url,
                Workload(seed=seed, clients=4),
                tmp_path,
                namespace=name,
                processes=3,
                kill_points=[
                    KillPoint(point=Point.DURING, verb=None, countdown=10 + seed % 50),
                    KillPoint(point=Point.ASKED, verb=None, countdown=25),
                ],
                settle=harness.settle,
            )
            check(recording, harness, tmp_path / f"history-{seed}.jsonl")


async def check_one(
    harness: StoreHarness, namespace: str, workload: Workload, folder: Path
) -> None:
    """Record a history in an empty namespace, and check it."""
    async with harness.open(namespace) as store:
        recording = await record(store, workload, harness.settle)
    check(recording, harness, folder / f"history-{workload.seed}.jsonl")


def check(recording: Recording, harness: StoreHarness, path: Path) -> None:
    """Check a history; save a failing one to a file, and report the path."""
    strict = Capability.STRICT_ORDER in harness.capabilities
    findings = check_history(
        recording.history, strict_order=strict, log=recording.log, counted=recording.counted
    )
    assert_explained(recording.history, path, findings)


def few(histories: int) -> int:
    """Return the number of histories of several processes, whose start is slow."""
    return max(min(histories, _FEW), histories // 8)


def required(store_url: str | None) -> str:
    """Return the URL, or skip the test."""
    if store_url is None:
        pytest.skip("no other process can open this store: the fixture `store_url` gives no URL")
    return store_url
