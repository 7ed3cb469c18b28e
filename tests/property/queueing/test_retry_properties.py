"""Waits before another attempt: bounded, monotone and reproducible."""

from __future__ import annotations

import math

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.model.checks import MAX_SECONDS
from cicd_core.model.job import RetryPolicy
from cicd_core.model.spec import MAX_TIMEOUT, check_retry
from cicd_core.queueing.retry import backoff_seconds, release_delay_seconds

SECONDS = st.floats(min_value=0, max_value=MAX_SECONDS)
POLICIES = st.builds(
    RetryPolicy,
    backoff_base=SECONDS,
    backoff_factor=st.floats(min_value=1, max_value=100) | st.integers(1, 100),
    backoff_max=st.floats(min_value=0, max_value=MAX_TIMEOUT),
    jitter=st.floats(min_value=0, max_value=1),
)
ATTEMPTS = st.integers(min_value=1, max_value=200) | st.integers(min_value=1)
SEEDS = st.text(st.characters(codec="utf-8"))


@given(POLICIES, ATTEMPTS, SEEDS)
def test_a_wait_is_finite_and_within_its_bounds(
    policy: RetryPolicy, attempts: int, seed: str
) -> None:
    check_retry(policy)
    longest = backoff_seconds(evolve(policy, jitter=0.0), attempts, seed)
    wait = backoff_seconds(policy, attempts, seed)
    assert longest * (1 - policy.jitter) <= wait <= longest <= policy.backoff_max
    assert math.isfinite(wait)


@given(POLICIES, ATTEMPTS, ATTEMPTS, SEEDS)
def test_without_jitter_more_attempts_never_wait_less(
    policy: RetryPolicy, one: int, other: int, seed: str
) -> None:
    steady = evolve(policy, jitter=0.0)
    fewer, more = sorted((one, other))
    assert backoff_seconds(steady, fewer, seed) <= backoff_seconds(steady, more, seed)


@given(
    st.floats(min_value=0.001, max_value=60),
    st.floats(min_value=1, max_value=3),
    st.integers(min_value=1, max_value=20),
)
def test_without_jitter_it_is_the_stated_formula_up_to_the_largest_maximum(
    base: float, factor: float, attempts: int
) -> None:
    policy = check_retry(
        RetryPolicy(backoff_base=base, backoff_factor=factor, backoff_max=MAX_TIMEOUT, jitter=0.0)
    )
    stated = base * factor ** (attempts - 1)
    assert backoff_seconds(policy, attempts, "seed") == min(stated, MAX_TIMEOUT)


@given(POLICIES, ATTEMPTS, SEEDS)
def test_the_same_seed_waits_the_same(policy: RetryPolicy, attempts: int, seed: str) -> None:
    assert backoff_seconds(policy, attempts, seed) == backoff_seconds(policy, attempts, seed)


@given(st.sets(SEEDS, min_size=50, max_size=50))
def test_seeds_spread_the_waits(seeds: set[str]) -> None:
    policy = RetryPolicy(jitter=1.0)
    assert len({backoff_seconds(policy, 1, seed) for seed in seeds}) == len(seeds)


@given(st.integers(min_value=0), st.integers(min_value=0))
def test_releases_wait_1_to_60_seconds_and_never_less_than_before(one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    assert 1 <= release_delay_seconds(fewer) <= release_delay_seconds(more) <= 60
