"""Instants: aware datetimes outside, microseconds and sort keys inside."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.errors import InvalidInput
from cicd_core.model.instants import (
    from_micros,
    in_utc,
    require_aware,
    sort_bound,
    sort_key,
    to_micros,
)

LAST = datetime(2286, 11, 20, 17, 46, 39, 999_999, tzinfo=UTC)
INSTANTS = st.integers(min_value=0, max_value=10**16 - 1)


class Nowhere(tzinfo):
    """A time zone that does not know its offset: a datetime in it is naive all the same."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return None

    def dst(self, _: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _: datetime | None) -> str | None:
        return None


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    """The two are equal as datetimes, and have the same hash."""
    berlin = ZoneInfo("Europe/Berlin")
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=each) for each in (0, 1))
    assert first == second
    assert to_micros(second) - to_micros(first) == 3_600_000_000


def test_microseconds_count_from_the_epoch() -> None:
    assert to_micros(datetime(1970, 1, 1, 0, 0, 1, 2, tzinfo=UTC)) == 1_000_002
    assert to_micros(LAST) == 10**16 - 1


@given(INSTANTS)
def test_an_instant_survives_the_way_into_a_store_and_back(micros: int) -> None:
    instant = from_micros(micros)
    assert to_micros(instant) == micros
    assert instant.tzinfo is UTC


@given(INSTANTS, INSTANTS, st.text(), st.text())
def test_sort_keys_sort_as_their_instants(one: int, other: int, key: str, another: str) -> None:
    if one != other:
        assert (sort_key(one, key) < sort_key(other, another)) == (one < other)
    assert (sort_key(one, key) < sort_key(one, another)) == (key < another)


@given(INSTANTS, st.text())
def test_a_bound_lies_below_every_key_of_its_instant_and_above_every_earlier_one(
    micros: int, key: str
) -> None:
    bound = sort_bound(from_micros(micros))
    assert bound < sort_key(micros, key)
    if micros:
        assert sort_key(micros - 1, key) < bound


def test_an_aware_instant_comes_back_in_utc() -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    kept = require_aware("run_at", noon)
    assert kept == noon
    assert kept is not None
    assert (kept.tzinfo, kept.hour, kept.minute) == (UTC, 6, 30)
    assert require_aware("run_at", None) is None


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 11, 21, 12),  # noqa: DTZ001 - a naive one is what is refused here
        datetime(2026, 11, 21, 12, tzinfo=Nowhere()),
        date(2026, 11, 21),
        "2026-11-21T12:00:00Z",
        1_800_000_000,
    ],
)
def test_an_instant_that_could_be_any_moment_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="with a time zone") as refused:
        require_aware("run_at", value)
    assert refused.value.field == "run_at"


def test_the_first_and_the_last_instant_that_sort_keys_hold_are_kept() -> None:
    assert require_aware("run_at", datetime(1970, 1, 1, tzinfo=UTC)) == from_micros(0)
    assert require_aware("run_at", LAST) == LAST


@pytest.mark.parametrize(
    "value",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        LAST + timedelta(microseconds=1),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    ],
)
def test_an_instant_that_no_sort_key_holds_is_refused(value: datetime) -> None:
    with pytest.raises(InvalidInput, match="1970 to 2286") as refused:
        require_aware("until", value)
    assert refused.value.field == "until"


EAST, WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))


def test_an_instant_in_utc_is_the_same_moment() -> None:
    moment = datetime(2030, 6, 1, 14, tzinfo=EAST)
    assert in_utc("since", moment) == moment
    assert in_utc("since", moment).tzinfo is UTC


@pytest.mark.parametrize(
    "instant", [datetime(1, 1, 1, tzinfo=EAST), datetime(9999, 12, 31, 23, tzinfo=WEST)]
)
def test_an_instant_that_utc_can_not_name_is_refused(instant: datetime) -> None:
    with pytest.raises(InvalidInput, match=r"since: .* years 1 to 9999, in UTC"):
        in_utc("since", instant)
