"""Workers are killed over a real store, and the lab says what it finds: nothing, or what is wrong.

The stores that break a promise are in ``faulty_stores.py``: what the audit does not find in them,
it would not find in anybody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.audit import Promise
from cicd_core.testing.crash import run_lab

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.testing.crash import CrashReport, LabPlan

#: The stores that break a promise.
STORES = "tests.crash.faulty_stores"


def found_in(faulty: str, plan: Callable[..., LabPlan], operations: int) -> CrashReport:
    return run_lab(plan(wrap=faulty, kills=3, operations=operations, life=2.0, patience=10.0))


def test_a_storm_over_sqlite_loses_nothing_and_gives_nothing_to_two_owners(
    plan: Callable[..., LabPlan],
) -> None:
    lines: list[str] = []
    report = run_lab(plan(kills=30, operations=600, life=0.8), lines.append)
    assert report.violations == {}
    assert report.kills >= 30
    assert report.operations >= 600
    assert report.refused_stale > 0
    assert sum(report.mishaps.values()) > 0
    assert report.audit.check(Promise.ACCOUNTED).examined >= report.enqueued > 0
    assert "kills" in lines[-4]
    assert report.as_json()["ok"]
    assert report.as_text().endswith("every check holds")


@pytest.mark.thorough
def test_a_store_that_forgets_what_it_acknowledged_is_found_out(
    plan: Callable[..., LabPlan],
) -> None:
    report = found_in(f"{STORES}:Forgetful", plan, operations=1000)
    assert report.lost.number > 0
    assert not report.as_json()["ok"]
    assert report.as_text().endswith("FAILED")


def test_workers_that_start_late_live_as_long_as_those_that_start_at_once(
    plan: Callable[..., LabPlan],
) -> None:
    wrap = "tests.crash.faulty_stores:Sluggish"
    report = run_lab(plan(wrap=wrap, kills=3, operations=50, life=0.2, minutes=0.5))
    assert report.violations == {}
    assert report.operations >= 50


def test_workers_that_end_by_themselves_end_the_storm_and_are_reported(
    plan: Callable[..., LabPlan],
) -> None:
    report = run_lab(plan(wrap="tests.crash.faulty_stores:no_such_store"))
    (details,) = report.broken.details
    assert "no_such_store" in details
    assert report.operations == 0
    assert not report.ok


@pytest.mark.thorough
def test_children_that_keep_the_files_of_a_worker_that_was_killed_are_found_out(
    plan: Callable[..., LabPlan],
) -> None:
    wrap = "tests.crash.faulty_stores:sharing"
    report = run_lab(plan(wrap=wrap, kills=1000, operations=1, patience=15.0))
    (details,) = report.broken.details
    assert "no call was acknowledged for 15 s" in details
    assert report.mishaps["fork at the kill"] > 0


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_a_long_storm_over_sqlite_loses_nothing(plan: Callable[..., LabPlan]) -> None:
    report = run_lab(plan(kills=120, operations=25_000, workers=4, tasks=12))
    assert report.violations == {}
    assert {name.partition(": ")[2] for name in report.points} >= {"begin", "commit", "committed"}
    assert report.stops > 0
    assert min(report.mishaps.values()) > 0
    assert report.recovery.jobs > 0


@pytest.mark.crash
def test_a_store_that_takes_stale_commits_is_found_out(plan: Callable[..., LabPlan]) -> None:
    report = found_in("tests.faulty:Careless", plan, operations=4000)
    assert report.double_owned.number > 0
    assert report.audit.check(Promise.LOG).fault_count > 0


@pytest.mark.crash
def test_a_store_that_gives_one_job_to_two_claims_is_found_out(
    plan: Callable[..., LabPlan],
) -> None:
    assert found_in(f"{STORES}:Generous", plan, operations=2000).double_owned.number > 0


@pytest.mark.crash
def test_a_store_that_only_says_that_it_renewed_is_found_out(
    plan: Callable[..., LabPlan],
) -> None:
    assert found_in(f"{STORES}:Lulling", plan, operations=4000).early.number > 0


@pytest.mark.crash
def test_a_store_that_goes_by_a_wrong_clock_is_found_out(plan: Callable[..., LabPlan]) -> None:
    assert found_in(f"{STORES}:Hasty", plan, operations=3000).early.number > 0
