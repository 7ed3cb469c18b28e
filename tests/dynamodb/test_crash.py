"""Workers are killed while their requests fail: nothing is lost, nothing has two owners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.audit import Promise
from cicd_core.testing.crash import LabPlan
from tests.dynamodb.engines import started
from tests.dynamodb.storms import storm

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]


def test_a_storm_over_failing_requests_and_lagging_indexes_loses_nothing(
    engine: str, tmp_path: Path
) -> None:
    plan = LabPlan(store="dynamodb://", folder=tmp_path, seed=1, workers=3, tasks=4, kills=20)
    with started(engine, "storm") as proxy:
        report, faults = storm(proxy, plan)
    assert report.violations == {}
    assert report.kills >= 20
    assert report.operations > 20
    assert sum(faults.values()) > 0
    assert report.audit.check(Promise.ACCOUNTED).examined >= report.enqueued > 0
