"""The bill: each line is what somebody does, times what that consumes."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput
from cicd_core_dynamodb import costs
from cicd_core_dynamodb.bill import Bill, BilledWorkload, Line, bill_of
from cicd_core_dynamodb.costs import MONTH, PRICES, Units
from cicd_core_dynamodb.log_leader import EVERY

NOTHING = BilledWorkload(jobs=0, agents=0, sweepers=0)


def line(bill: Bill, name: str) -> Line:
    return next(each for each in bill.lines if each.name == name)


def test_who_does_nothing_pays_nothing() -> None:
    bill = bill_of(NOTHING)
    assert bill.lines == ()
    assert bill.dollars == 0
    assert bill.dollars_a_job == 0


def test_a_million_jobs_cost_what_their_operations_consume() -> None:
    bill = bill_of(evolve(NOTHING, jobs=1e6, minutes=0, retried=0, log=False, claim_marks=False))
    units = line(bill, "jobs").units
    assert units == costs.lifecycle(costs.AGENT_LIFECYCLE, shards=4, log=False, marks=False).times(
        1e6
    )
    assert {each.name for each in bill.lines} == {"jobs", "storage", "continuous backups"}


def test_the_whole_is_the_sum_of_its_lines_the_dearest_first() -> None:
    bill = bill_of(BilledWorkload())
    dollars = [each.dollars for each in bill.lines]
    assert dollars == sorted(dollars, reverse=True)
    assert bill.dollars == pytest.approx(sum(dollars))
    assert bill.dollars_a_job == pytest.approx(bill.dollars / 1e6)


def test_agents_pay_for_heartbeats_though_nothing_is_to_do() -> None:
    bill = bill_of(evolve(NOTHING, agents=1000, heartbeat_interval_seconds=10.0))
    beats = 1000 * MONTH / 10
    assert line(bill, "heartbeats").dollars == pytest.approx(beats * PRICES.writes / 1e6)


def test_a_lease_is_renewed_three_times_as_long_as_the_job_runs() -> None:
    bill = bill_of(evolve(NOTHING, jobs=1000, minutes=3.0, lease_seconds=30.0))
    assert line(bill, "lease renewals").units == Units(writes=18_000)


def test_agents_that_work_do_not_poll() -> None:
    busy = BilledWorkload(jobs=MONTH / 60, minutes=1.0, agents=1)
    assert "idle polling" not in {each.name for each in bill_of(busy).lines}
    assert "idle polling" in {each.name for each in bill_of(evolve(busy, agents=2)).lines}


@pytest.mark.parametrize(
    ("change", "dearer"),
    [
        ({"poll_seconds": 1.0}, "idle polling"),
        ({"lane_refresh_seconds": 2.0}, "idle polling"),
        ({"shards": 8}, "idle polling"),
        ({"lanes": 4}, "idle polling"),
        ({"heartbeat_interval_seconds": 5.0}, "heartbeats"),
        ({"lease_seconds": 10.0}, "lease renewals"),
        ({"sweep_seconds": 0.5}, "maintenance"),
        ({"pools": 10}, "maintenance"),
        ({"sweepers": 4}, "maintenance"),
        ({"followers": 1}, "log's readers"),
        ({"retried": 10.0}, "retries"),
        ({"retried": 10.0}, "log"),
        ({"job_days": 180.0}, "storage"),
        ({"log_days": 365.0}, "continuous backups"),
    ],
    ids=lambda each: each if isinstance(each, str) else next(iter(each)),
)
def test_what_is_set_otherwise_shows_in_its_line(change: dict[str, Any], dearer: str) -> None:
    assert (
        line(bill_of(BilledWorkload(**change)), dearer).dollars
        > line(bill_of(BilledWorkload()), dearer).dollars
    )


def test_the_log_is_brought_up_to_date_once_a_minute_however_many_could() -> None:
    few, many = (BilledWorkload(agents=agents, jobs=1e9, sweepers=0) for agents in (1, 1000))
    once = line(bill_of(few), "log's readers").units
    assert once.writes == MONTH / EVERY
    more = line(bill_of(many), "log's readers").units
    assert more.writes == once.writes
    assert more.reads == pytest.approx(once.reads + 999 * MONTH / EVERY * costs.TURN_ASKED.reads)


def test_the_more_jobs_the_more_a_reader_of_the_log_reads_again() -> None:
    idle = evolve(NOTHING, followers=1)
    looks = line(bill_of(idle), "log's readers").units
    assert looks == costs.LOG_LOOK.times(MONTH)
    busy = line(bill_of(evolve(idle, jobs=1000 * MONTH)), "log's readers").units
    # 14 seconds of a thousand jobs a second, in units of 4 KB, at each of two looks.
    again = 2 * 14 * 1000 * costs.JOURNAL_BYTES / 4096
    assert busy.reads / MONTH == pytest.approx(costs.LOG_LOOK.reads + again)


@pytest.mark.parametrize(("name", "gone"), [("log", "log"), ("claim_marks", "claim marks")])
def test_what_is_turned_off_is_not_paid_for(name: str, gone: str) -> None:
    names = {each.name for each in bill_of(BilledWorkload(**{name: False})).lines}
    assert gone not in names


@pytest.mark.parametrize(
    "change",
    [{"jobs": -1.0}, {"jobs": float("nan")}, {"agents": -1}, {"shards": 0}, {"poll_seconds": 0.0}],
)
def test_numbers_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        BilledWorkload(**change)
    assert ("seconds" in str(refused.value)) is ("poll_seconds" in change)


def test_an_item_is_as_large_as_its_names_and_values() -> None:
    item: dict[str, dict[str, Any]] = {
        "K": {"S": "abc"},
        "N": {"N": "1234"},
        "B": {"B": b"12"},
        "E": {"BS": [b"1", b"22"]},
    }
    assert costs.item_bytes(item) == (1 + 3) + (1 + 4) + (1 + 2) + (1 + 3)
    assert costs.item_bytes({"L": {"L": [{"S": "ab"}]}, "O": {"BOOL": True}}) == 1 + 3 + 3 + 1 + 1
    assert costs.item_bytes({"M": {"M": {"a": {"S": "b"}}}}) == 1 + 3 + 1 + 2
