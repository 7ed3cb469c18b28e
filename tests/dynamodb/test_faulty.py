"""The store keeps its promises though requests fail, are applied late, and indexes lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from cicd_core.store.retrying import RetryingStore
from cicd_core.testing import StoreConformance
from cicd_core.testing.conformance.commits import CommitPromises
from cicd_core.testing.conformance.histories import HistoryConformance, check
from cicd_core.testing.conformance.leases import GuardPromises, LeasePromises
from cicd_core.testing.conformance.log import LogPromises
from cicd_core.testing.conformance.renewals import RenewalPromises
from cicd_core.testing.conformance.repetitions import RepetitionPromises
from cicd_core.testing.harness import PATIENT
from cicd_core.testing.histories import Workload
from cicd_core.testing.histories.workload import conclude, work
from cicd_core.testing.recording.recording_store import Recorder
from tests.dynamodb.harness import faulty_harness_of

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.store.contract import Store
    from cicd_core.testing import StoreHarness
    from cicd_core.testing.recording.recording_store import RecordingStore

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]


class TestWhoseWritesAreSentTwice(StoreConformance):
    """Each write meets what its own earlier attempt left, and indexes lag."""

    @pytest.fixture
    def harness(self, engine: str) -> StoreHarness:
        return faulty_harness_of(engine, "twice")


class TestInAStorm(
    CommitPromises,
    RepetitionPromises,
    LeasePromises,
    GuardPromises,
    RenewalPromises,
    LogPromises,
):
    """Requests fail, before or after they were applied.

    A claim of which one update failed for good answers with what it took, which may be less than it
    could have: so no topic about how much claims take is here. Who owns what, histories tell.
    Nor is there a list of two hundred commits, some of which fail each time.
    """

    @pytest.fixture
    def harness(self, engine: str) -> StoreHarness:
        return faulty_harness_of(engine, "storm")


class TestHistoriesWhoseWritesAreSentTwice(HistoryConformance):
    @pytest.fixture
    def harness(self, engine: str) -> StoreHarness:
        return faulty_harness_of(engine, "twice")


class PatientRecorder(Recorder):
    """Writes down each attempt by itself, since a failed one may have taken effect."""

    def wrap(self, store: Store, client: str) -> RecordingStore:
        return cast("RecordingStore", RetryingStore(super().wrap(store, client), attempts=PATIENT))


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(4))
async def test_some_order_explains_what_clients_see_in_a_storm(
    engine: str, namespace: str, seed: int, tmp_path: Path
) -> None:
    harness, recorder = faulty_harness_of(engine, "storm"), PatientRecorder()
    async with harness.open_once(namespace) as store:
        await work(store, Workload(seed=seed, clients=6), recorder)
        patient = RetryingStore(store, attempts=PATIENT)
        recording = await conclude(patient, recorder.history(), harness.settle)
    check(recording, harness, tmp_path / "history.jsonl")
