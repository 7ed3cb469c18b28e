"""Buckets of durations, and the quantiles that are read from them."""

from __future__ import annotations

import math

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.queueing.histogram import (
    LAST_BUCKET,
    LONGEST,
    RELATIVE_ERROR,
    SHORTEST,
    bucket_of,
    quantile,
    value_of,
)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.000_999_999, -math.inf])
def test_less_than_a_millisecond_is_bucket_0_and_reads_as_0(seconds: float) -> None:
    assert bucket_of(seconds) == 0
    assert value_of(0) == 0.0


@pytest.mark.parametrize("seconds", [SHORTEST, LONGEST, 1.0, 60.0, 3600.0, 0.0011, 86_400.0])
def test_a_duration_reads_back_within_5_percent(seconds: float) -> None:
    assert value_of(bucket_of(seconds)) == pytest.approx(seconds, rel=RELATIVE_ERROR)


def test_a_millisecond_is_bucket_1() -> None:
    assert bucket_of(0.001) == 1


@pytest.mark.parametrize("seconds", [LONGEST + 1, 1e12, math.inf])
def test_more_than_30_days_read_as_30_days(seconds: float) -> None:
    assert bucket_of(seconds) == LAST_BUCKET
    assert value_of(LAST_BUCKET) == pytest.approx(LONGEST, rel=RELATIVE_ERROR)


def test_the_stated_bounds_are_5_percent_1_ms_and_30_days() -> None:
    assert (RELATIVE_ERROR, SHORTEST, LONGEST) == (0.05, 0.001, 2_592_000)


def test_a_histogram_has_at_most_229_counters() -> None:
    assert LAST_BUCKET == 228


@pytest.mark.parametrize("bucket", [-1, LAST_BUCKET + 1])
def test_a_bucket_that_does_not_exist_is_refused(bucket: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        value_of(bucket)
    assert refused.value.field == "bucket"


def test_nothing_has_no_quantile() -> None:
    assert quantile({}, 0.95) is None
    assert quantile({3: 0}, 0.95) is None


@pytest.mark.parametrize(
    ("q", "bucket"), [(0, 5), (0.05, 5), (0.94, 7), (0.95, 7), (0.951, 9), (1, 9)]
)
def test_a_quantile_is_the_first_bucket_that_holds_so_many(q: float, bucket: int) -> None:
    assert quantile({9: 5, 5: 10, 7: 85}, q) == value_of(bucket)


def test_the_p95_of_two_durations_is_the_longer_one() -> None:
    assert quantile({5: 1, 9: 1}, 0.95) == value_of(9)


def test_a_part_means_the_decimal_that_was_written() -> None:
    # As floats, 0.07 * 100 is a little more than 7.
    assert quantile({1: 7, 2: 93}, 0.07) == value_of(1)


@pytest.mark.parametrize("q", [-0.01, 1.01, math.nan, math.inf])
def test_a_part_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        quantile({1: 1}, q)
    assert refused.value.field == "q"


def test_what_is_refused_is_shown_with_what_to_give_instead() -> None:
    with pytest.raises(InvalidInput) as refused:
        value_of(LAST_BUCKET + 1)
    assert (refused.value.value, refused.value.reason) == (229, "give 0 to 228")
    with pytest.raises(InvalidInput) as refused:
        quantile({1: 1}, 1.5)
    assert (refused.value.value, refused.value.reason) == (1.5, "give 0 to 1")
