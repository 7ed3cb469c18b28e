"""How many jobs a second tables take: as the limits of partitions say, whichever is full first."""

from __future__ import annotations

import pytest

from benchmarks.dynamodb_contention.lives import Lives, lives, steps_of_a_life
from cicd_core_dynamodb import costs
from cicd_core_dynamodb.costs import AGENT_LIFECYCLE
from cicd_core_dynamodb.location import SHARDS

#: A partition takes 1,000 writes a second, and two of a job's life.
A_SHARD = 500


def test_a_simulated_job_writes_what_a_real_one_was_measured_to() -> None:
    for step in steps_of_a_life():
        measured = costs.BY_NAME[step.name].total(shards=SHARDS, log=False, marks=False)
        assert step.units == measured.writes
        assert step.has_events is (costs.BY_NAME[step.name].log.writes > 0)
    assert tuple(step.name for step in steps_of_a_life()) == AGENT_LIFECYCLE


@pytest.mark.parametrize("shards", [1, 4])
def test_each_shard_of_an_index_takes_five_hundred_jobs_a_second(shards: int) -> None:
    seen = lives(Lives(shards=shards, log_shards=8))
    assert seen.jobs_a_second == pytest.approx(A_SHARD * shards, rel=0.02)
    assert seen.full == "an index"


def test_each_shard_of_the_log_takes_five_hundred_jobs_a_second() -> None:
    seen = lives(Lives(shards=4, log_shards=2))
    assert seen.jobs_a_second == pytest.approx(2 * A_SHARD, rel=0.02)
    assert seen.full == "the journal"


@pytest.mark.parametrize(
    ("shards", "writes", "jobs"), [(8, 40_000, 3077), (4, 4_000, 308)], ids=["quota", "cold"]
)
def test_a_table_takes_thirteen_writes_a_job(shards: int, writes: float, jobs: float) -> None:
    seen = lives(Lives(shards=shards, log_shards=shards, table_writes=writes))
    assert seen.jobs_a_second == pytest.approx(jobs, rel=0.02)
    assert seen.full == "the table"


def test_what_a_seed_says_happens_again() -> None:
    setup = Lives(shards=1, seconds=0.2, settling_seconds=0.2)
    assert lives(setup) == lives(setup)
