"""Workers are killed while their requests fail: nothing is lost, nothing has two owners."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

import pytest

from cicd_core.control_plane.audit import Promise
from cicd_core.ids import IdSource
from cicd_core.testing.crash import LabPlan, run_lab
from tests.dynamodb.engines import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dynamodb.engines import Server

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]


def follow(line: str, proxy: Server) -> None:
    """Let nothing fail that is done once, and no list lag behind what the audit reads."""
    for stage, path in (("the storm is over", "/calm"), ("drained", "/settle")):
        if line.startswith(stage):
            connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
            connection.request("GET", path)
            assert connection.getresponse().status == 200
            connection.close()


def test_a_storm_over_failing_requests_and_lagging_indexes_loses_nothing(
    engine: str, tmp_path: Path
) -> None:
    with started(engine, "storm") as proxy:
        store = (
            f"dynamodb://?prefix=lab-&region=us-east-1&endpoint={proxy.endpoint}"
            f"&create_tables=true&timeout=1&namespace=lab-{IdSource().commit_id()}"
        )
        plan = LabPlan(store=store, folder=tmp_path, seed=1, workers=3, tasks=4, kills=20)
        report = run_lab(plan, lambda line: follow(line, proxy))
    assert report.violations == {}
    assert report.kills >= 20
    assert report.operations > 20
    assert report.audit.check(Promise.ACCOUNTED).examined >= report.enqueued > 0
