"""Workers are killed while their requests fail: nothing is lost, told twice or owned twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.audit import Promise
from cicd_core.testing.crash import LabPlan
from tests.dynamodb.engines import started
from tests.dynamodb.storms import storm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1200)]


def test_a_storm_over_failing_requests_lagging_indexes_and_undecided_commits_loses_nothing(
    engine: str, tmp_path: Path
) -> None:
    # It ends with the last kill: the minutes are for a machine that has much else to do.
    plan = LabPlan(
        store="dynamodb://", folder=tmp_path, seed=1, workers=3, tasks=4, kills=20, minutes=10
    )
    with started(engine, "storm") as proxy:
        report, faults = storm(proxy, plan)
    assert report.violations == {}
    assert report.kills >= 20
    assert report.operations > 20
    assert sum(faults.values()) > 0
    # Most lists had a member that stayed undecided: its neighbours are told and counted once.
    for promise in (Promise.LOG, Promise.COUNTERS):
        assert report.audit.check(promise).examined > 0
    assert report.audit.check(Promise.ACCOUNTED).examined >= report.enqueued > 0
