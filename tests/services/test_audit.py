"""The audit passes what was only used, and finds what was tampered with."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import evolve

from cicd_core import (
    ControlPlane,
    JobState,
    Outcome,
    Settings,
    open_store,
)
from cicd_core.audit import CheckResult, Promise, audit
from cicd_core.entities import COLLECTIONS
from cicd_core.testing import VirtualClock
from tests.services.lived import claim, enqueue, live, start
from tests.services.tampering import Tamperer

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.audit import AuditReport
    from cicd_core.store.contract import Store

pytestmark = pytest.mark.anyio

DAY = 24 * 3600.0


def faults(report: AuditReport) -> dict[Promise, tuple[str, ...]]:
    return {check.name: check.faults for check in report.checks if check.fault_count}


def results(report: AuditReport) -> set[CheckResult]:
    return {check.result for check in report.checks}


async def test_an_empty_store_passes(plane: ControlPlane) -> None:
    report = await audit(plane)
    assert faults(report) == {}
    assert (report.jobs, report.events, report.ok) == (0, 0, True)


async def test_a_store_that_was_only_used_passes_every_check(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await live(plane, clock)
    report = await audit(plane)
    assert faults(report) == {}
    assert results(report) == {CheckResult.OK}
    assert all(check.examined for check in report.checks)


async def test_the_report_counts_what_happened(plane: ControlPlane, clock: VirtualClock) -> None:
    await live(plane, clock)
    report = await audit(plane)
    assert report.jobs_by_state == {
        JobState.SUCCESS: 4,
        JobState.FAILED: 2,
        JobState.CANCELLED: 2,
        JobState.DEAD_LETTERED: 1,
        JobState.CLAIMED: 1,
        JobState.RUNNING: 1,
        JobState.QUEUED: 1,
        JobState.PENDING: 1,
    }
    assert report.jobs == 13
    assert (report.attempts, report.retries, report.releases) == (13, 2, 1)
    assert (report.lost_leases, report.dead_letters, report.replays) == (1, 2, 1)


async def test_jobs_that_should_have_ended_and_have_not_are_named(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    made = await live(plane, clock)
    report = await audit(plane, ended=[made["success"], made["dead letter"], made["running"], "x"])
    assert faults(report) == {
        Promise.ACCOUNTED: (
            f"job {made['running']} has not ended: it is running",
            "job x was enqueued, but has no record",
        )
    }


async def test_others_may_work_while_it_looks(plane: ControlPlane, clock: VirtualClock) -> None:
    await live(plane, clock)
    left = 40

    async def work() -> None:
        nonlocal left
        while left:
            left -= 1
            await enqueue(plane)
            if left % 3:
                await plane.queue.complete(await start(plane), Outcome.exited(left % 2))
            else:
                await claim(plane, start=True)

    found: list[dict[Promise, tuple[str, ...]]] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        while left:
            found.append(faults(await audit(plane)))
    found.append(faults(await audit(plane)))
    assert [each for each in found if each] == []


async def test_a_job_whose_retention_has_ended_is_not_lost(
    store: Store, clock: VirtualClock
) -> None:
    short = ControlPlane(store, settings=Settings(job_retention_seconds=60.0))
    job_id = await enqueue(short)
    await short.queue.complete(await start(short), Outcome.exited(0))
    clock.advance(61.0)
    assert faults(await audit(short)) == {}
    longer = ControlPlane(store, settings=Settings(job_retention_seconds=120.0))
    (fault,) = faults(await audit(longer))[Promise.ACCOUNTED]
    assert fault.startswith(f"jobs {job_id}: ")


async def test_a_job_whose_retention_has_ended_is_not_lost_where_the_calendar_was_set_back(
    store: Store, clock: VirtualClock
) -> None:
    short = ControlPlane(store, settings=Settings(job_retention_seconds=60.0))
    await enqueue(short)
    await short.queue.complete(await start(short), Outcome.exited(0))
    clock.step_calendar(-3600.0)
    clock.advance(61.0)
    assert faults(await audit(short)) == {}


async def test_a_log_that_retention_has_shortened_is_no_fault(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await live(plane, clock)
    clock.advance(40 * DAY)
    for _ in range(4):  # a store drops its oldest events bit by bit
        await plane.queue.complete(await _next(plane), Outcome.exited(0))
    report = await audit(plane)
    assert faults(report) == {}
    assert report.events < 30


async def _next(plane: ControlPlane) -> Any:
    await enqueue(plane)
    return await start(plane)


# ------------------------------------------------------------------------------------- tampering


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Tamperer:
    """A store in a file, closed, in which everything has happened once."""
    path = tmp_path_factory.mktemp("audit") / "ci.db"
    clock = VirtualClock()

    async def make() -> dict[str, str]:
        url = f"sqlite:///{path}?synchronous=normal"
        async with open_store(url, clock=clock, collections=COLLECTIONS) as store:
            return await live(ControlPlane(store), clock)

    return Tamperer(path, anyio.run(make))


@pytest.fixture
def tamperer(lived_in: Tamperer, tmp_path: Path) -> Tamperer:
    """Somebody with a copy of it."""
    for part in lived_in.path.parent.iterdir():
        shutil.copy(part, tmp_path)
    return Tamperer(tmp_path / lived_in.path.name, lived_in.made)


def found(tamperer: Tamperer, promise: Promise, *words: str) -> bool:
    """Whether the audit fails, and one fault of that check has all the words."""
    report = tamperer.audit()
    assert not report.ok
    told = faults(report).get(promise, ())
    return any(all(word in fault for word in words) for fault in told)


def test_an_untouched_copy_passes(tamperer: Tamperer) -> None:
    report = tamperer.audit()
    assert faults(report) == {}
    assert results(report) == {CheckResult.OK}


@pytest.mark.parametrize("kind", ["created", "started", "progress", "succeeded"])
def test_a_missing_event_is_found(tamperer: Tamperer, kind: str) -> None:
    tamperer.drop_event("success", kind)
    assert found(tamperer, Promise.LOG, tamperer.made["success"])


def test_the_missing_events_of_a_whole_job_are_found(tamperer: Tamperer) -> None:
    tamperer.run("DELETE FROM log WHERE key = ?", tamperer.made["failed"])
    assert found(tamperer, Promise.LOG, tamperer.made["failed"], "no event")


def test_a_missing_event_of_a_deployment_is_found(tamperer: Tamperer) -> None:
    tamperer.drop_event("", "live")
    assert found(tamperer, Promise.LOG, "deployments")


def test_events_out_of_order_are_found(tamperer: Tamperer) -> None:
    key = tamperer.made["success"]
    ((row, _),) = tamperer.events("success", "progress")
    tamperer.run("UPDATE log SET ordinal = ordinal + 1 WHERE id = ?", row)
    assert found(tamperer, Promise.LOG, key, "ordinal 1 follows")


def test_a_lost_job_is_found(tamperer: Tamperer) -> None:
    tamperer.run("DELETE FROM c_jobs WHERE key = ?", tamperer.made["queued"])
    assert found(tamperer, Promise.ACCOUNTED, tamperer.made["queued"], "queued")


def test_a_job_that_no_list_shows_is_found(tamperer: Tamperer) -> None:
    tamperer.run("UPDATE c_jobs SET a_status = NULL WHERE key = ?", tamperer.made["queued"])
    assert found(tamperer, Promise.INDEXES, tamperer.made["queued"], "is in no index")


def test_a_job_in_the_wrong_list_is_found(tamperer: Tamperer) -> None:
    tamperer.run("UPDATE c_jobs SET a_status = 'failed' WHERE key = ?", tamperer.made["success"])
    assert found(tamperer, Promise.INDEXES, tamperer.made["success"], "'failed'", "'success'")


def test_a_ready_job_that_agents_do_not_find_is_found(tamperer: Tamperer) -> None:
    tamperer.run("UPDATE c_jobs SET a_lane = NULL WHERE key = ?", tamperer.made["queued"])
    assert found(tamperer, Promise.INDEXES, tamperer.made["queued"], "lane-rank-index")


@pytest.mark.parametrize("kind", ["ended", "run", "wait", "deployments"])
def test_a_wrong_counter_is_found(tamperer: Tamperer, kind: str) -> None:
    tamperer.run(
        "UPDATE counters SET value = value + 1 WHERE name = "
        "(SELECT min(name) FROM counters WHERE name LIKE ?)",
        f"{kind}/%",
    )
    assert found(tamperer, Promise.COUNTERS, f"{kind}/")


@pytest.mark.parametrize("part", ["n", "ms"])
def test_a_wrong_sum_of_waits_is_found(tamperer: Tamperer, part: str) -> None:
    tamperer.run("UPDATE counters SET value = value * 2 + 500 WHERE name LIKE ?", f"wait/%|{part}")
    assert found(tamperer, Promise.COUNTERS, "wait/")


def test_a_missing_counter_is_found(tamperer: Tamperer) -> None:
    tamperer.run("DELETE FROM counters WHERE name LIKE 'ended/%|success'")
    assert found(tamperer, Promise.COUNTERS, "|success is 0, a recount of the log gives 4")


def test_a_wrong_count_is_found(tamperer: Tamperer) -> None:
    tamperer.run("UPDATE depths SET number = number + 1 WHERE value = 'success'")
    assert found(tamperer, Promise.COUNTS, "'success'", "counted 5, listed 4")


def test_a_fence_that_went_back_is_found(tamperer: Tamperer) -> None:
    tamperer.change_event("lost", "claimed", lambda data: data.update(fence=7), nth=1)
    assert found(tamperer, Promise.FENCES, tamperer.made["lost"], "fence 7 after fence")


def test_a_record_with_an_older_fence_is_found(tamperer: Tamperer) -> None:
    tamperer.change_job("lost", fence=7)
    assert found(tamperer, Promise.FENCES, tamperer.made["lost"], "fence 7")


def test_a_lease_on_a_job_that_has_ended_is_found(tamperer: Tamperer) -> None:
    tamperer.run(
        "UPDATE c_jobs SET lease_claim = 'c1', lease_granted = 1, lease_renewed = 1, "
        "lease_expires = 2, lease_end = 3 WHERE key = ?",
        tamperer.made["success"],
    )
    assert found(tamperer, Promise.LEASES, tamperer.made["success"], "is success")


def test_a_lease_of_somebody_else_is_found(tamperer: Tamperer) -> None:
    tamperer.change_job("claimed", tags=["changed"])
    tamperer.run("UPDATE c_jobs SET claim_grant = NULL WHERE key = ?", tamperer.made["claimed"])
    assert found(tamperer, Promise.LEASES, tamperer.made["claimed"], "is queued")


def test_a_held_job_without_a_lease_is_found(tamperer: Tamperer) -> None:
    key = tamperer.made["success"]
    tamperer.change_job("success", state="running")
    assert found(tamperer, Promise.LEASES, key, "no agent has a lease on it")


def test_an_illegal_step_is_found(tamperer: Tamperer) -> None:
    change = {"from": "pending", "to": "claimed"}
    tamperer.change_event("success", "claimed", lambda data: data.update(change))
    assert found(tamperer, Promise.PATHS, tamperer.made["success"], "leaves pending")


def test_a_step_that_no_command_makes_is_found(tamperer: Tamperer) -> None:
    tamperer.change_event("failed", "failed", lambda data: data.update(to="pending"))
    assert found(tamperer, Promise.PATHS, tamperer.made["failed"], "no command")


def test_a_record_that_contradicts_its_events_is_found(tamperer: Tamperer) -> None:
    tamperer.change_job("failed", state="success", verdict="success")
    assert found(tamperer, Promise.PATHS, tamperer.made["failed"], "its events lead to failed")


def test_a_verdict_that_contradicts_the_state_is_found(tamperer: Tamperer) -> None:
    tamperer.change_job("success", verdict="failed")
    assert found(tamperer, Promise.VERDICTS, tamperer.made["success"], "its verdict is failed")


def test_a_second_verdict_is_found(tamperer: Tamperer) -> None:
    key = tamperer.made["success"]
    tamperer.run(
        "INSERT INTO log (id, collection, key, version, ordinal, at, body) "
        "SELECT max(id) + 1, 'jobs', ?, 9, 0, max(at), ? FROM log",
        key,
        json.dumps({"t": "job.failed", "at": 1, "d": {"from": "running", "to": "failed"}}).encode(),
    )
    tamperer.run("UPDATE namespaces SET log_end = log_end + 1")
    assert found(tamperer, Promise.VERDICTS, key, "after its final verdict")


def test_a_record_that_does_not_decode_is_found_and_holds_up_nothing(tamperer: Tamperer) -> None:
    key = tamperer.made["success"]
    tamperer.run("UPDATE c_jobs SET body = x'00' WHERE key = ?", key)
    report = tamperer.audit()
    assert set(faults(report)) == {Promise.READABLE}
    assert report.jobs == 12


def test_an_event_that_does_not_decode_is_found(tamperer: Tamperer) -> None:
    key = tamperer.made["failed"]
    tamperer.run("UPDATE log SET body = x'00' WHERE key = ? AND ordinal = 1", key)
    assert found(tamperer, Promise.READABLE, key)


def test_many_faults_are_counted_and_the_first_ones_are_told(tamperer: Tamperer) -> None:
    tamperer.run("UPDATE c_jobs SET a_agent_id = 'nobody', a_status = 'timeout'")
    check = tamperer.audit().check(Promise.INDEXES)
    assert check.result is CheckResult.FAILED
    assert len(check.faults) == 20 < check.fault_count


def test_a_report_says_what_each_check_is_about(tamperer: Tamperer) -> None:
    report = tamperer.audit()
    assert [check.name for check in report.checks] == list(Promise)
    assert all(check.promise for check in report.checks)
    failed = evolve(report.check(Promise.LOG), fault_count=1, skipped="in part")
    assert failed.result is CheckResult.FAILED
    assert evolve(failed, fault_count=0).result is CheckResult.SKIPPED
