"""When a job is tried again, and how long it waits."""

from __future__ import annotations

import sys

import pytest

from cicd_core.model.job import RetryPolicy, Verdict
from cicd_core.queueing.retry import (
    RELEASES_PER_ATTEMPT,
    backoff_seconds,
    release_delay_seconds,
    retries,
)

STEADY = RetryPolicy(jitter=0.0)


@pytest.mark.parametrize("verdict", Verdict)
def test_by_default_only_an_error_is_tried_again(verdict: Verdict) -> None:
    assert retries(RetryPolicy(), verdict) is (verdict is Verdict.ERROR)


def test_a_policy_tries_again_what_it_says() -> None:
    policy = RetryPolicy(retry_on=(Verdict.FAILED, Verdict.TIMEOUT))
    assert [verdict for verdict in Verdict if retries(policy, verdict)] == [
        Verdict.FAILED,
        Verdict.TIMEOUT,
    ]


@pytest.mark.parametrize(
    ("attempts_used", "seconds"),
    [(1, 2.0), (2, 4.0), (3, 8.0), (8, 256.0), (9, 300.0), (100, 300.0)],
)
def test_the_wait_doubles_up_to_its_maximum(attempts_used: int, seconds: float) -> None:
    assert backoff_seconds(STEADY, attempts_used, "job:1") == seconds


@pytest.mark.parametrize("attempts_used", [0, -1])
def test_no_attempt_yet_waits_as_after_the_first(attempts_used: int) -> None:
    assert backoff_seconds(STEADY, attempts_used, "job:1") == 2.0


@pytest.mark.parametrize("attempts_used", [10_000, sys.maxsize, 10**400])
@pytest.mark.parametrize("factor", [1, 1.0, 1.5, 100])
def test_the_wait_stays_finite_after_any_number_of_attempts(
    attempts_used: int, factor: float
) -> None:
    policy = RetryPolicy(jitter=0.0, backoff_factor=factor)
    assert backoff_seconds(policy, attempts_used, "job:1") == (2.0 if factor == 1 else 300.0)


def test_a_base_of_0_never_waits() -> None:
    policy = RetryPolicy(backoff_base=0.0, jitter=0.0)
    assert backoff_seconds(policy, 1, "job:1") == 0.0
    assert backoff_seconds(policy, 10**6, "job:1") == 0.0


def test_the_wait_of_a_seed_is_the_same_on_every_machine() -> None:
    assert backoff_seconds(RetryPolicy(jitter=1.0), 1, "job:1") == 1.9218123660677175


def test_other_seeds_wait_for_other_times() -> None:
    waits = {backoff_seconds(RetryPolicy(), 1, f"job:{number}") for number in range(100)}
    assert len(waits) == 100


@pytest.mark.parametrize(
    ("releases", "seconds"),
    [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (8, 60.0), (10**400, 60.0)],
)
def test_each_release_in_a_row_waits_twice_as_long_up_to_a_minute(
    releases: int, seconds: float
) -> None:
    assert release_delay_seconds(releases) == seconds


def test_the_tenth_release_in_a_row_uses_an_attempt() -> None:
    assert RELEASES_PER_ATTEMPT == 10


def test_a_wait_that_hardly_grows_goes_on_growing() -> None:
    slow = RetryPolicy(backoff_base=1.0, backoff_factor=1.001, backoff_max=3600.0, jitter=0.0)
    assert backoff_seconds(slow, 5001, "seed") == pytest.approx(1.001**5000)
