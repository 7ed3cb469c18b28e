"""The error of a histogram is what it says."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from cicd_core.queueing.histogram import (
    LAST_BUCKET,
    LONGEST,
    RELATIVE_ERROR,
    SHORTEST,
    bucket_of,
    quantile,
    value_of,
)

DURATIONS = st.floats(min_value=SHORTEST, max_value=LONGEST) | st.floats(
    min_value=math.log(SHORTEST), max_value=math.log(LONGEST)
).map(lambda log: min(max(math.exp(log), SHORTEST), LONGEST))
PARTS = st.floats(min_value=0, max_value=1) | st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0])


def exact_quantile(durations: list[float], q: float) -> float:
    """Return the smallest of them that at least the part ``q`` of all does not exceed."""
    ordered = sorted(durations)
    return next(
        each for number, each in enumerate(ordered, start=1) if number >= q * len(ordered) - 1e-9
    )


@given(DURATIONS)
@example(SHORTEST)
@example(LONGEST)
def test_a_duration_reads_back_within_the_stated_error(seconds: float) -> None:
    assert abs(value_of(bucket_of(seconds)) - seconds) <= RELATIVE_ERROR * seconds


@given(st.integers(min_value=1, max_value=LAST_BUCKET))
def test_the_bounds_of_every_bucket_read_back_within_the_stated_error(bucket: int) -> None:
    # The worst cases: the floats beside the bounds, where the logarithm rounds either way.
    bound = SHORTEST * 1.1 ** (bucket - 1)
    for seconds in (math.nextafter(bound, 0), bound, math.nextafter(bound, math.inf)):
        if SHORTEST <= seconds <= LONGEST:
            assert abs(value_of(bucket_of(seconds)) - seconds) <= RELATIVE_ERROR * seconds


@given(DURATIONS, DURATIONS)
def test_a_longer_duration_is_never_in_an_earlier_bucket(one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert bucket_of(shorter) <= bucket_of(longer)


@given(st.floats(allow_nan=False))
def test_every_number_has_a_bucket_that_exists(seconds: float) -> None:
    assert 0 <= bucket_of(seconds) <= LAST_BUCKET


@given(st.lists(DURATIONS, min_size=1), PARTS)
def test_a_quantile_is_within_the_stated_error_of_the_exact_one(
    durations: list[float], q: float
) -> None:
    exact = exact_quantile(durations, q)
    found = quantile(Counter(bucket_of(seconds) for seconds in durations), q)
    assert found is not None
    assert abs(found - exact) <= RELATIVE_ERROR * exact


@given(st.lists(DURATIONS), st.lists(DURATIONS), PARTS)
def test_histograms_add_up(one: list[float], other: list[float], q: float) -> None:
    parts = Counter(map(bucket_of, one)) + Counter(map(bucket_of, other))
    assert quantile(parts, q) == quantile(Counter(map(bucket_of, one + other)), q)
