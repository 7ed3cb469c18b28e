"""The bill of a fleet is what a running fleet consumes: an hour of it, on a real engine."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import pytest
from attrs import evolve

from cicd_core import Settings
from cicd_core.ids import IdSource
from cicd_core_dynamodb.bill import BilledWorkload, bill_of
from cicd_core_dynamodb.costs import MONTH, Units
from tests.dynamodb.engines import engines, running
from tests.dynamodb.fleets import HOUR, WORK, Fleet

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.timeout(1200)

#: An agent sweeps and polls less often than by default: the formula holds for any pace, and an hour
#: is some thousand requests shorter. Every agent runs maintenance, as agents do by default.
SETTINGS: Final = Settings(sweep_seconds=10, lane_refresh_seconds=60)
POLL: Final = 30.0
SMALL, LARGE, THOUSAND = 1, 3, 1000
#: What is measured together: an agent's claims are those of its work, too.
PARTS: Final = {
    "jobs": WORK,
    "claim marks": WORK,
    "log": WORK,
    "log's readers": WORK,
    "idle polling": WORK,
}
#: How far what was measured may be from what the formula says: so few jobs share no item of the
#: log, and the last renewal of a job falls together with its end.
OFF: Final = 0.15


def workload(agents: int) -> BilledWorkload:
    """Jobs of two minutes that keep one agent busy for two fifths of the hour."""
    return BilledWorkload(
        jobs=12 * MONTH / HOUR,
        minutes=2.0,
        retried=0.0,
        agents=agents,
        sweepers=agents,
        shards=1,
        poll_seconds=POLL,
        lane_refresh_seconds=SETTINGS.lane_refresh_seconds,
        heartbeat_interval_seconds=SETTINGS.heartbeat_timeout_seconds / 3,
        lease_seconds=SETTINGS.lease_seconds,
        sweep_seconds=SETTINGS.sweep_seconds,
    )


@cache
def measured(agents: int) -> Mapping[str, Units]:
    """Return what a fleet consumes in an hour, by what for."""
    url = (
        f"dynamodb://?prefix=fleet-&region=us-east-1&endpoint={running(engines()[0]).endpoint}"
        f"&create_tables=true&shards=1&poll_seconds={POLL:g}&timeout=30&connect_timeout=30"
        f"&namespace=fleet-{IdSource().commit_id()}"
    )
    fleet = Fleet(url, workload(agents), SETTINGS)
    used = fleet.run(HOUR)
    assert fleet.ended >= 12
    return used


def said(agents: int) -> dict[str, Units]:
    """Return what the bill says that a fleet consumes in an hour, in the same parts."""
    parts: dict[str, Units] = {}
    for line in bill_of(workload(agents)).lines:
        part = PARTS.get(line.name, line.name)
        parts[part] = parts.get(part, Units()) + line.units.times(HOUR / MONTH)
    return {part: units for part, units in parts.items() if units != Units()}


@pytest.mark.thorough
@pytest.mark.parametrize("agents", [SMALL, pytest.param(LARGE, marks=pytest.mark.thorough)])
def test_a_fleet_consumes_what_its_bill_says(agents: int) -> None:
    found, told = measured(agents), said(agents)
    assert set(found) == set(told)
    for part, units in told.items():
        assert found[part].writes == pytest.approx(units.writes, rel=OFF, abs=5), part
        assert found[part].reads == pytest.approx(units.reads, rel=OFF, abs=20), part


@pytest.mark.thorough
def test_a_thousand_agents_consume_what_their_bill_says() -> None:
    small, large = (sum(measured(agents).values(), Units()) for agents in (SMALL, LARGE))
    an_agent = (large + small.times(-1)).times(1 / (LARGE - SMALL))
    found = large + an_agent.times(THOUSAND - LARGE)
    told = sum(said(THOUSAND).values(), Units())
    assert found.writes == pytest.approx(told.writes, rel=OFF)
    assert found.reads == pytest.approx(told.reads, rel=OFF)


def test_one_sweeps_however_many_could() -> None:
    one, many = (said_maintenance(sweepers) for sweepers in (1, LARGE))
    assert many.writes == one.writes
    standing_by = (many.reads - one.reads) / (LARGE - 1)
    assert standing_by < one.reads / 5


def said_maintenance(sweepers: int) -> Units:
    bill = bill_of(evolve(workload(LARGE), sweepers=sweepers))
    return next(line.units for line in bill.lines if line.name == "maintenance")
