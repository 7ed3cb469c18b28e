"""Claims of many: in order while nobody is in the way, spread as far as they collide."""

from __future__ import annotations

import pytest

from benchmarks.dynamodb_contention.contest import Setup, contest
from cicd_core_dynamodb.contention import Contention


def level_after(*claims: tuple[int, int]) -> Contention:
    contention = Contention()
    for taken, misses in claims:
        contention = contention.after(taken=taken, misses=misses)
    return contention


def test_who_meets_nobody_is_calm() -> None:
    assert level_after((1, 0), (5, 0)).is_calm
    assert Contention().window == 0
    assert Contention().pause(0.5) == 0


def test_one_miss_is_enough_to_spread() -> None:
    contention = level_after((1, 1))
    assert not contention.is_calm
    assert contention.window > 0
    assert contention.pause(0.5) > 0


def test_each_miss_spreads_further_up_to_a_most() -> None:
    windows = [level_after(*[(0, 1)] * misses).window for misses in range(8)]
    assert windows == sorted(windows)
    assert windows[-1] == windows[-2]
    pauses = [level_after(*[(0, 1)] * misses).pause(1.0) for misses in range(8)]
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 0.5


def test_it_takes_many_claims_without_a_miss_to_calm_down() -> None:
    upset = level_after((1, 1))
    claims = 0
    while not upset.is_calm:
        upset = upset.after(taken=1, misses=0)
        claims += 1
    assert claims > 10


def test_what_tells_nothing_changes_nothing() -> None:
    upset = level_after((1, 1))
    assert upset.after(taken=0, misses=0) == upset


def test_where_nothing_is_left_nobody_is_in_the_way() -> None:
    assert level_after((0, 3)).nothing_there().is_calm


def test_who_wants_many_tries_a_few_more() -> None:
    assert Contention().tries(1) == 2
    assert Contention().tries(100) == 125


def test_one_claimer_takes_jobs_in_order() -> None:
    result = contest(Setup(claimers=1, seconds=1, backlog=500))
    assert result.claims > 20
    assert result.conflicts_a_claim == 0
    assert result.worst_displacement == 0


def test_what_a_seed_says_happens_again() -> None:
    setup = Setup(claimers=20, seconds=0.2, settling_seconds=0.2, backlog=2000)
    result = contest(setup)
    assert result.claims > 0
    assert result == contest(setup)


@pytest.mark.thorough
def test_a_thousand_claimers_that_do_nothing_else_seldom_collide() -> None:
    setup = Setup(claimers=1000, backlog=12_000, settling_seconds=0.5, seconds=0.3)
    result = contest(setup)
    assert result.claims > 300
    assert result.conflicts_a_claim <= 1.5
    assert result.claimed_twice == 0


@pytest.mark.thorough
def test_a_thousand_agents_that_work_hardly_ever_collide() -> None:
    setup = Setup(
        claimers=1000, work_seconds=1.0, backlog=12_000, settling_seconds=2.5, seconds=0.8
    )
    result = contest(setup)
    assert result.claims > 600
    assert result.conflicts_a_claim <= 0.1
    assert result.claimed_twice == 0
